"""Shipped scenarios."""

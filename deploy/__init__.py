"""Deployment: rig files, and what a target machine needs."""

"""Faults put into a running or replayed pipeline on purpose, and what became of its output: plain state machines."""

"""Temporal alignment: stream clocks, the aligner, ego motion and the ledger.

Plain state machines, no clock, socket or thread.
"""

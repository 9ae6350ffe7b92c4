"""Hostile input, made by the million: the wire's decoders, every log reader and the rig's loader under mutated messages
and files.
"""

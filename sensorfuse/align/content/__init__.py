"""Offsets between streams, from what they both saw: turns, speeds, and sounds with motion in pictures.

The sign is `t_reference = t_sensor + offset_s` everywhere. Each estimate comes with one sigma and is either accepted or
unobservable, with the reason in words.
"""

"""How the clocks of a recorded log relate: rates, jitter, drift, jumps, delays, offsets, and settings that follow."""

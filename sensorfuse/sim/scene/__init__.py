"""The synthetic world as a function of time: roads, traffic, what stands beside them, and how the ego moves."""

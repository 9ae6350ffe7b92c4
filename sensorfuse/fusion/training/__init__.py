"""Training of encoders and fusion networks: tasks, data, losses, the loop, and what is written at the end. Torch."""

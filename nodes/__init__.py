"""Processes: one file per process, each a short `main()` around a plain object of the library."""

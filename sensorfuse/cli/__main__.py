"""`python -m sensorfuse.cli`."""

from sensorfuse.cli import main

main()

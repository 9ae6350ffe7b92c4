"""The one exception class that a user may meet.

Its text says which file, stream or field is wrong, what was expected, and what to do. The command line prints the text
and exits with 2; it never prints a stack trace for one of these.
"""


class SensorfuseError(Exception):
    """Wrong input or a refused operation, explained in words that the user can act on."""


def first_line(error: Exception) -> str:
    """What an exception says, without what libraries add below it; its class where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

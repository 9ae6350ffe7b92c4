"""Exact times and robust small text files: decimal seconds to integer nanoseconds, stamp lists, CSV rows."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from pathlib import Path

from sensorfuse.errors import SensorfuseError

_SECONDS = re.compile(r"^([+-]?)(\d+)(?:\.(\d*))?$")
_DATE = re.compile(r"^(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d+))?$")


def seconds_to_ns(text: str) -> int:
    """Nanoseconds of a decimal number of seconds, exact to its last digit (a float64 would lose 100 ns at today's
    epoch).

    Raises:
        ValueError: not a plain decimal number.
    """
    match = _SECONDS.match(text.strip())
    if match is None:
        raise ValueError(f"{text.strip()!r} is no decimal number of seconds")
    sign, whole, part = match.groups()
    value = int(whole) * 1_000_000_000 + int((part or "")[:9].ljust(9, "0"))
    return -value if sign == "-" else value


def date_to_ns(text: str) -> int:
    """Nanoseconds since 1970 of `YYYY-MM-DD hh:mm:ss.fffffffff`, taken as UTC.

    Raises:
        ValueError: not of that form.
    """
    match = _DATE.match(text.strip())
    if match is None:
        raise ValueError(f"{text.strip()!r} is no date of the form YYYY-MM-DD hh:mm:ss.fraction")
    fields = [int(v) for v in match.groups()[:6]]
    if not (1 <= fields[1] <= 12 and 1 <= fields[2] <= 31 and fields[3] < 24 and fields[4] < 60 and fields[5] <= 60):
        raise ValueError(f"{text.strip()!r} is no valid date")
    return calendar.timegm((*fields, 0, 0, 0)) * 1_000_000_000 + int((match.group(7) or "")[:9].ljust(9, "0"))


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line number and text of every line that is neither empty nor a `#` comment; bytes that are no UTF-8 become
    U+FFFD.

    Raises:
        SensorfuseError: the file cannot be read.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                if line.strip() and not line.lstrip().startswith("#"):
                    yield number, line.strip()
    except OSError as error:
        raise SensorfuseError(f"{path}: cannot be read: {error.strerror or error}") from None

"""What nobody foresaw, one message at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from sensorfuse.nodes.ears import Ears

from sensorfuse.errors import first_line

MOST_IN_A_ROW = 50
FAILED = "made this process fail"


class Mishaps:
    """Survives errors that single messages bring about at one step of the work: the message is dropped, counted among
    those that were refused, and told. Else it would end this process, and its twin, which hears the same.

    `MOST_IN_A_ROW` messages in a row that fail are no message's fault: the last one's error goes on and ends the
    process.

    Args:
        ears: where the messages come from.
        on_event: told of what a person should know.
    """

    def __init__(self, ears: Ears, on_event: Callable[[str], None]) -> None:
        self._ears, self._on_event = ears, on_event
        self._in_a_row = 0

    @contextlib.contextmanager
    def survived(self, stream: str, drop: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Around all that one message of a stream brings about; `drop` undoes what it can of one that fails."""
        try:
            yield
        except Exception as error:
            self._in_a_row += 1
            if self._in_a_row >= MOST_IN_A_ROW:
                raise
            if self._ears.refuse(stream, FAILED):
                self._on_event(f"dropped a message of {stream} that {FAILED}: {first_line(error)}")
            drop()
        else:
            self._in_a_row = 0

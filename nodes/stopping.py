"""The end of a run, in order: the player, the sensors, the aligner, fusion, the recorder. Each brings what it has to
its end before the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sensorfuse.nodes.control_line import ControlLine
from sensorfuse.nodes.crew import Child, Crew

STOP_GRACE_S = 3.0
DRAIN_GRACE_S = 60.0  # lossless: what is under way is brought to its end
LAST_WORDS_S = 0.5  # for the word of how a process ended to come
POLL_MS = 10


def stop_in_order(
    crew: Crew, line: ControlLine, listen: Callable[[], None], on_event: Callable[[str, str], None], log_ended: bool
) -> None:
    """Stop every process. Who does not stop when told is killed.

    Args:
        crew, line: the processes, and how they are told.
        listen: takes what they say and publish meanwhile.
        on_event: told of what a person should know, by process.
        log_ended: the log has been played to its end, which passes down by itself.
    """
    lossless = crew.plan.lossless
    for rank in sorted({c.spec.stop_rank for c in crew.children.values()}):
        group = [c for c in crew.children.values() if c.spec.stop_rank == rank]
        told = not (log_ended and (rank <= 1 or lossless))
        if told:
            _tell_all(line, group)
        deadline = time.monotonic() + (DRAIN_GRACE_S if lossless else STOP_GRACE_S)
        for child in group:
            if not child.ready:
                child.kill()  # still starting: it has nothing to bring to an end
        while any(c.alive() for c in group):
            listen()
            if time.monotonic() > deadline:
                if told:
                    break
                told = True
                _tell_all(line, group)
                deadline = time.monotonic() + STOP_GRACE_S
            time.sleep(0.002)
        for child in group:
            if child.handle is not None and child.alive():
                on_event(child.name, "did not stop when told and was killed")
                child.kill()
        _hear_last_words(line, listen, group)
    listen()


def _hear_last_words(line: ControlLine, listen: Callable[[], None], group: list[Child]) -> None:
    """Wait a little for the word of how each of them ended."""
    deadline = time.monotonic() + LAST_WORDS_S
    listen()
    while time.monotonic() < deadline and not all(c.done for c in group):
        line.wait(POLL_MS)
        listen()


def _tell_all(line: ControlLine, group: list[Child]) -> None:
    for child in group:
        if child.alive():
            line.tell(child.name, {"kind": "stop"})

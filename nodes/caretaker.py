"""Who died or is as good as dead, who takes over, who is started again and when."""

from __future__ import annotations

from collections.abc import Callable

from sensorfuse.nodes.control_line import ControlLine
from sensorfuse.nodes.crew import Child, Crew
from sensorfuse.nodes.stopping import LAST_WORDS_S

from sensorfuse.errors import SensorfuseError

HUNG_S = 5.0  # a process that says nothing for so long is no use to anyone
HUNG_TWIN_S = 1.0  # one on duty whose twin stands by
OWN_STALL_S = 0.25  # a supervisor that was away itself blames nobody for it


class Caretaker:
    """Looks after the processes of a run that has begun.

    Args:
        crew, line: the processes, and how they are told.
        on_event: told of what a person should know, by process.
        on_change: told when it is another process that is there or on duty.
    """

    def __init__(
        self, crew: Crew, line: ControlLine, on_event: Callable[[str, str], None], on_change: Callable[[], None]
    ) -> None:
        self.crew, self.line = crew, line
        self._on_event, self._on_change = on_event, on_change
        self._last_look_s: float | None = None

    def tend(self, now_s: float, hear: Callable[[], None]) -> None:
        """Notice deaths and what is as good as dead, hand over, restart; `hear` takes what processes said.

        Raises:
            SensorfuseError: a process died in a replay that must lose nothing.
        """
        stalled = 0.0 if self._last_look_s is None else now_s - self._last_look_s
        self._last_look_s = now_s
        for child in self.crew.children.values():
            if stalled > OWN_STALL_S:
                child.heard_at += stalled
            if child.alive():
                self._check_pulse(child, now_s)
                continue
            hear()  # its last words may still be under way
            if child.done:
                continue
            if child.died_at is None:
                child.died_at = now_s
            if not child.mourned:
                if self._may_still_speak(child, now_s - child.died_at):
                    continue
                child.mourned = True
                self._on_death(child, now_s)
            if now_s >= child.restarts.due_s:
                self.crew.spawn(child, rejoin=True)

    def _check_pulse(self, child: Child, now_s: float) -> None:
        """A process that says nothing any more is killed, so that its twin or its next incarnation does the work."""
        if self.crew.plan.lossless or not child.ready:
            return
        twin = self.crew.twin(child)
        on_duty = child.active and twin is not None and twin.alive() and twin.ready
        if now_s - child.heard_at > (HUNG_TWIN_S if on_duty else HUNG_S):
            self._on_event(child.name, f"said nothing for {now_s - child.heard_at:.1f} s and was killed")
            child.heard_at = now_s
            child.kill()

    def _may_still_speak(self, child: Child, since_s: float) -> bool:
        """Whether a process that is no more may have ended by itself: its last words can arrive after its end is seen.
        A twin that was on duty is not waited for, unless nothing may be lost.
        """
        if child.spec.slot is not None and child.active and not self.crew.plan.lossless:
            return False
        return since_s < LAST_WORDS_S and not child.adopted and self.crew.exit_code(child) in (None, 0, 2)

    def _on_death(self, child: Child, now_s: float) -> None:
        cause = self.crew.cause(child)
        self._on_event(child.name, f"died ({cause})")
        if self.crew.plan.lossless:
            raise SensorfuseError(f"process {child.name!r} died ({cause}) in a replay that must lose nothing")
        if not child.restarts.broken:
            held_s = child.restarts.due_s
            broken = child.restarts.died(now_s)
            child.restarts.hold(held_s)
            if broken:
                wait_s, deaths = child.restarts.due_s - now_s, child.restarts.deaths
                told = f"died {deaths} times in a row: left alone for {wait_s:.0f} s, the run goes on"
                self._on_event(child.name, told)
        twin = self.crew.twin(child)
        if twin is not None and child.active:
            child.active = False
            if twin.alive() and twin.ready:
                twin.active = True
                self.line.tell(twin.name, {"kind": "activate"})
                self._on_event(twin.name, f"took over from {child.name}")
        self._on_change()

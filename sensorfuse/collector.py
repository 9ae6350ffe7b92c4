"""What a run amounted to: ticks, frames, timings and the ledger, gathered while it runs.

A plain state machine that the supervisor feeds with what it hears; it holds counts and a few numbers per tick, no
frames.
"""

from __future__ import annotations

from array import array
from typing import Any

from sensorfuse.align.ledger import Ledger
from sensorfuse.messages import LEDGER_REASONS, FusedFrame, LedgerReason, Tick
from sensorfuse.tick_set import TickSet

STAGES = (
    "capture_to_fused",
    "overhead",
    "align_wait",
    "decide",
    "queue",
    "data_wait",
    "encode",
    "encode_on_path",
    "fuse",
    "track",
)
MODEL_STAGES = ("encode_on_path", "fuse", "track")  # estimation between the last needed sample and the frame


class Collector:
    """Feed it every tick, frame, timing and counter; read `ledger`, `timings_ms` and the tick numbers at the end.

    Args:
        streams: of the rig.
        rate: log seconds per second, to bring durations of a scaled replay back to real ones.
        clocked: False in a replay without a clock, where only durations of work mean anything.
    """

    def __init__(self, streams: list[str], rate: float = 1.0, clocked: bool = True) -> None:
        self.streams = streams
        self.rate = rate
        self.clocked = clocked
        self.ledger = Ledger(streams)
        self.timings_ms: dict[str, array[float]] = {stage: array("d") for stage in STAGES}
        self.published_ns = array("q")  # when each frame went out, in the order of `timings_ms`
        self.tick_ids = TickSet()
        self.frame_ids = TickSet()
        self._received: dict[str, dict[int, dict[str, int]]] = {}  # aligner -> its incarnation -> stream -> count
        self._ticks: dict[int, tuple[int, int, int]] = {}  # tick_id -> t_ref, trigger, emit

    def tick(self, tick: Tick) -> None:
        self.tick_ids.add(tick.tick_id)
        self._ticks[tick.tick_id] = (tick.t_ref_ns + tick.shift_ns, tick.last_needed_recv_ns, tick.emit_ns)
        self.close(tick.dispositions)

    def frame(self, frame: FusedFrame) -> None:
        self.frame_ids.add(frame.tick_id)
        self.close(frame.dispositions)

    def close(self, dispositions: list[tuple[str, int, int, LedgerReason]] | list[list[Any]]) -> None:
        """Enter dispositions; those of unknown streams or reasons are ignored."""
        for stream, boot, seq, reason in dispositions:
            if stream in self.streams and reason in LEDGER_REASONS:
                self.ledger.close(stream, boot, seq, reason)

    def timing(self, tick_id: int, durations_ns: dict[str, int]) -> None:
        known = self._ticks.pop(tick_id, None)
        spent = {stage: durations_ns[stage] / 1e6 for stage in STAGES if stage in durations_ns}
        if self.clocked:
            for stage in ("queue", "data_wait"):
                spent[stage] /= self.rate
            if known is not None:
                t_ref, trigger, emit = known
                published = durations_ns["published_at"]
                self.published_ns.append(published)
                spent["capture_to_fused"] = (published - t_ref) / 1e6 / self.rate
                spent["align_wait"] = (emit - t_ref) / 1e6 / self.rate
                spent["decide"] = (emit - trigger) / 1e6 / self.rate
                spent["overhead"] = (published - trigger) / 1e6 / self.rate - sum(spent[s] for s in MODEL_STAGES)
        else:
            for stage in ("queue", "data_wait", "encode_on_path"):
                del spent[stage]
        for stage, value in spent.items():
            self.timings_ms[stage].append(value)

    def published(self, stream: str, boot: int, count: int) -> None:
        self.ledger.note_published(stream, boot, count)

    def received(self, aligner: str, incarnation: int, counts: dict[str, int]) -> None:
        """What one incarnation of an aligner has received so far."""
        self._received.setdefault(aligner, {})[incarnation] = counts

    def received_total(self) -> dict[str, int]:
        """Per stream, the most that any one aligner received (twins receive the same)."""
        every = [counts for lives in self._received.values() for counts in lives.values()]
        return {s: max((c.get(s, 0) for c in every), default=0) for s in self.streams}

    def unaccounted(self, held: dict[str, int]) -> dict[str, int]:
        """Per stream, the messages that nobody ended although they were received: more of what was published was never
        closed than what did not reach the aligners, by their own count, and what was lost with processes that died.

        Args:
            held: per stream, what processes that died may have held.
        """
        total = self.received_total()
        lived = [counts for lives in self._received.values() if len(lives) == 1 for counts in lives.values()]
        out = {}
        for stream in self.streams:
            heard = min((counts.get(stream, 0) for counts in lived), default=total[stream])  # by either of two twins
            absent = max(0, self.ledger.published(stream) - heard)
            out[stream] = max(0, self.ledger.unclosed(stream) - absent - held.get(stream, 0))
        return out

"""What the figures of a stream mean, in sentences a person can act on."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sensorfuse.sync.clock_tally import ClockReport
from sensorfuse.sync.phase_lock import PhaseReport
from sensorfuse.sync.step_tally import StepReport
from sensorfuse.sync.stream_plan import StreamPlan
from sensorfuse.sync.stream_report import ContentReport, Finding, OffsetReport

TOLD_PPM = 1.0  # a drift below this needs a quarter of an hour to reach a millisecond
CERTAIN = 3.0  # sigmas from which something is held to be there
COARSE_RESOLUTION_NS = 100_000
LATE_MS = 100.0
FOLLOWED_MS = 0.5
JITTER_SHARE = 0.02  # of the period: stamps of a device's clock scatter by less
RECEIPT_FACTOR = 3.0  # stamps scatter so much more than their delays: they were made at receipt
COUNTER_BITS, COUNTER_TICKS_NS = (32, 31, 24), (1, 1000, 1_000_000)
WRAP_MIN_S, WRAP_NEAR_S = 1.0, 0.005
AGREES_S = 0.002  # an offset by content this small is no reason to change the rig


def judge(
    plan: StreamPlan,
    steps: StepReport,
    clock: ClockReport,
    phase: PhaseReport | None,
    content: ContentReport | None = None,
    rejected: int = 0,
    known_s: float = 0.0,
) -> tuple[Finding, ...]:
    """The verdict on one stream, what wants doing first. `known_s`: one sigma of the rig's offset between the stream
    and its reference.
    """
    if steps.count == 0:
        return (Finding("bad", "no readable message in this log"),)
    lost = (
        [Finding("note", f"{_many(rejected, 'record')} that can't be read: see `sensorfuse info`")] if rejected else []
    )
    found = [
        *lost,
        *_stamps(plan, steps, clock),
        *_phase(phase),
        *_clock(steps, clock),
        *_order(steps),
        *_offset(content, known_s),
    ]
    order = {"bad": 0, "note": 1, "good": 2}
    return tuple(sorted(found, key=lambda f: order[f.grade]))


def _stamps(plan: StreamPlan, steps: StepReport, clock: ClockReport) -> Iterator[Finding]:
    if steps.stuck:
        yield Finding("bad", "stamps are constant: only the time of receipt tells when; set the driver's stamps right")
        return
    if plan.info.stamp_source == "nominal":
        yield Finding("bad", "stamps are nominal: nobody recorded them, they were counted out from the rate")
    if clock.receive_times == "stamps":
        text = (
            "receive times equal the stamps: either the log has none, or stamps are receive times (transport's jitter"
        )
        yield Finding("note", text + " is in them, and an unknown delay)")
    elif _stamped_at_receipt(steps, clock):
        text = f"stamps are receive times, it seems: they scatter by {steps.jitter_ms['p95']:.2f} ms (p95)"
        delay = (clock.delay_ms or {}).get("p95", 0.0)
        text += f" while they reach the host within {delay:.2f} ms of each other: the jitter is in the stamps"
        yield Finding("bad", text + "; let the driver stamp with the device's clock")
    elif steps.jitter_ms and steps.period_ms and steps.jitter_ms["p95"] > JITTER_SHARE * steps.period_ms:
        text = f"stamps scatter by {steps.jitter_ms['p95']:.2f} ms (p95) about their period of {steps.period_ms:.2f} ms"
        yield Finding("note", text)
    if COARSE_RESOLUTION_NS <= steps.resolution_ns < 0.25e6 * (steps.period_ms or 0.0):
        yield Finding("note", f"stamps have a resolution of {steps.resolution_ns / 1e6:g} ms")
    if steps.duplicates > 0.3 * steps.count:
        yield Finding(
            "note", f"{steps.duplicates} of {steps.count} messages repeat the stamp before: records come twice"
        )
    elif steps.duplicates:
        yield Finding("note", f"{_many(steps.duplicates, 'message')} with the same stamp as the one before")
    if steps.gaps:
        share = steps.missing / (steps.count + steps.missing)
        longest = f"the longest {steps.longest_gap_s:.2f} s"
        yield Finding(
            "note", f"{_many(steps.missing, 'message')} missing ({share:.1%}) in {_many(steps.gaps, 'gap')}, {longest}"
        )


def _stamped_at_receipt(steps: StepReport, clock: ClockReport) -> bool:
    if clock.delay_ms is None or not steps.jitter_ms or not steps.period_ms:
        return False
    jitter = steps.jitter_ms["p95"]
    return jitter > JITTER_SHARE * steps.period_ms and jitter > RECEIPT_FACTOR * clock.delay_ms["p95"]


def _phase(phase: PhaseReport | None) -> Iterator[Finding]:
    if phase is not None and phase.locked:
        place = f"{phase.phase_ms:+.3f} ms from its samples, to {phase.spread_ms:.3f} ms"
        yield Finding("good", f"hardware-synchronised with {phase.reference}: stamps keep their place {place}")


def _clock(steps: StepReport, clock: ClockReport) -> Iterator[Finding]:
    if clock.quarantined and not clock.undated:
        yield Finding("note", f"{_many(clock.quarantined, 'stamp')} that cannot be, quarantined")
    if clock.undated:
        yield Finding("note", "the device knows no date: its stamps are anchored on the time of receipt at each start")
    if clock.jump_count and not steps.stuck:
        wrap = _wrap(clock)
        if wrap:
            yield Finding("bad", f"stamps are a counter that wraps: give the sensor `counter: {wrap}` in the rig")
        listed = ", ".join(f"{j.by_s:+.3f} s at {j.at_s:.1f} s" for j in clock.jumps[:4])
        more = f" and {clock.jump_count - 4} more" if clock.jump_count > 4 else ""
        times = {1: "once", 2: "twice"}.get(clock.jump_count, f"{clock.jump_count} times")
        yield Finding("note", f"clock jumped {times}: {listed}{more}; re-anchored on receipt")
    if clock.skew_ppm is not None and clock.skew_sigma_ppm is not None and not steps.stuck:
        if abs(clock.skew_ppm) > max(TOLD_PPM, CERTAIN * clock.skew_sigma_ppm):
            word = "slow" if clock.skew_ppm > 0 else "fast"
            text = f"clock runs {abs(clock.skew_ppm):.1f} ppm {word} against the host"
            sigma = clock.sigma_ms or 0.0
            yield (
                Finding("good", f"{text}, followed to {sigma:.2f} ms")
                if sigma < FOLLOWED_MS
                else Finding("note", f"{text}, known to {sigma:.2f} ms only")
            )
        elif clock.skew_sigma_ppm * CERTAIN < 5.0:
            yield Finding("good", f"clock keeps the host's pace ({clock.skew_ppm:+.1f} ppm)")
    if clock.delay_ms is not None and clock.delay_ms["p99"] > LATE_MS:
        text = f"one message in a hundred comes {clock.delay_ms['p99']:.0f} ms or more later than the fastest"
        yield Finding("note", text)


def _wrap(clock: ClockReport) -> str | None:
    """The counter whose turn a backward jump is, as the rig writes it."""
    for jump in clock.jumps:
        for bits in COUNTER_BITS:
            for tick_ns in COUNTER_TICKS_NS:
                turn_s = (tick_ns << bits) / 1e9
                if jump.by_s < -WRAP_MIN_S and abs(jump.by_s + turn_s) < max(WRAP_NEAR_S, 1e-4 * turn_s):
                    return f"{{bits: {bits}, tick_ns: {tick_ns}}}"
    return None


def _order(steps: StepReport) -> Iterator[Finding]:
    if not steps.out_of_order or steps.stuck:
        return
    worst = steps.late_ms.get("max", 0.0)
    if steps.out_of_order > 2 * steps.steps_back:
        yield Finding("bad", f"stamps step back by up to {worst / 1e3:.3f} s, {_many(steps.steps_back, 'time')}")
    else:
        yield Finding("note", f"{_many(steps.out_of_order, 'message')} out of order, by up to {worst:.1f} ms")


def _offset(content: ContentReport | None, known_s: float) -> Iterator[Finding]:
    if content is None:
        return
    whole = content.whole
    if not whole.accepted:
        yield Finding("note", f"offset against {whole.reference} unobservable: {whole.reason}")
        return
    found = f"{_offset_words(whole)} against {whole.reference} by {whole.method}"
    if agrees(whole):
        yield Finding("good", f"the rig's offset holds: what both saw differs by {found}")
    elif abs(whole.offset_s) <= CERTAIN * math.hypot(whole.sigma_s, known_s):
        text = f"the rig's offset can be bettered: what both saw differs by {found}, the rig knows"
        yield Finding("note", f"{text} {1e3 * known_s:.0f} ms; see the settings")
    else:
        yield Finding("bad", f"the rig's offset is wrong: what both saw differs by {found}; see the settings")
    drift, sigma = content.drift_ppm, content.drift_sigma_ppm
    if drift is not None and sigma is not None and abs(drift) > max(5.0, CERTAIN * sigma):
        yield Finding("note", f"that offset drifts by {drift:+.0f} ± {sigma:.0f} ppm over the log")


def agrees(found: OffsetReport) -> bool:
    """Whether an offset by content is no reason to change the rig's."""
    return abs(found.offset_s) <= max(AGREES_S, CERTAIN * found.sigma_s)


def _offset_words(offset: OffsetReport) -> str:
    if abs(offset.offset_s) >= 10:
        return f"{offset.offset_s:+.3f} ± {offset.sigma_s:.3f} s"
    return f"{1e3 * offset.offset_s:+.2f} ± {1e3 * offset.sigma_s:.2f} ms"


def _many(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"

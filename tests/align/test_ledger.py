"""The ledger: one reason per sample, and sums that hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sensorfuse.align import ledger as ledger_module
from sensorfuse.align.ledger import Ledger
from sensorfuse.messages import LEDGER_REASONS

entries = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60), st.sampled_from(LEDGER_REASONS)), max_size=300)


@given(entries, st.integers(0, 80))
def test_reasons_add_up_to_published_in_any_order(closings: list, published: int) -> None:
    ledger = Ledger(["lidar"])
    first: dict = {}
    for boot, seq, reason in closings:
        assert ledger.close("lidar", boot, seq, reason) is ((boot, seq) not in first)
        first.setdefault((boot, seq), reason)
    ledger.note_published("lidar", 0, published)
    counts = ledger.counts("lidar")
    assert sum(counts.values()) == ledger.published("lidar")
    for reason in LEDGER_REASONS:
        given_reason = sum(r == reason for r in first.values())
        assert counts[reason] - given_reason == (
            ledger.published("lidar") - len(first) if reason == "transport_lost" else 0
        )


def test_what_nobody_closed_is_lost() -> None:
    ledger = Ledger(["lidar"])
    ledger.note_published("lidar", 7, 10)
    for seq in (0, 1, 5):
        ledger.close("lidar", 7, seq, "fused")
    assert ledger.counts("lidar")["transport_lost"] == 7
    assert ledger.counts("lidar")["fused"] == 3


def test_memory_is_bounded_when_one_sample_never_closes(monkeypatch) -> None:
    monkeypatch.setattr(ledger_module, "MAX_OPEN", 100)
    ledger = Ledger(["imu"])
    for seq in range(1, 5000):
        ledger.close("imu", 0, seq, "fused")
    account = ledger._accounts["imu"][0]
    assert len(account.closed_above) <= 100
    counts = ledger.counts("imu")
    assert counts["transport_lost"] == 1
    assert counts["fused"] == 4999
    assert ledger.close("imu", 0, 0, "fused") is False

"""A run in words, and numbers as a person reads them."""

from __future__ import annotations

from typing import Any

MODALITY_LABELS = {"camera": "camera", "lidar": "LiDAR", "radar": "radar", "imu": "IMU", "audio": "audio"}


def headline(summary: dict[str, Any]) -> str:
    """What happened, in two or three sentences, from a summary's numbers."""
    ticks, expected = summary["ticks"], summary["ticks_expected"]
    if ticks == 0:
        return f"No tick was published, {expected} {'was' if expected == 1 else 'were'} expected."
    sentences = [f"{ticks} of {expected} ticks published{_absences(summary)}."]
    latency = summary["latency_ms"].get("capture_to_fused", {"n": 0})
    if latency["n"]:
        sentences.append(
            f"A fused frame came {milliseconds(latency['p50'])} ms after its reference time at the median, "
            f"{milliseconds(latency['p99'])} ms at the 99th percentile."
        )
    if not summary["ledger_balanced"]:
        sentences.append("The ledger does not account for every message.")
    return " ".join(sentences)


def _absences(summary: dict[str, Any]) -> str:
    alike: dict[tuple[int, float], list[str]] = {}  # modalities that were away as often and as long
    never = []
    for modality, row in summary["modalities"].items():
        label = MODALITY_LABELS.get(modality, modality)
        if row["ticks_used"] == 0:
            never.append(label)
        elif row["ticks_absent"]:
            alike.setdefault((row["ticks_absent"], row["longest_gap_s"]), []).append(label)
    parts = [f"{join(never)} {_was(never)} absent throughout"] if never else []
    for (ticks, gap_s), labels in sorted(alike.items(), reverse=True):
        parts.append(f"{join(labels)} {_was(labels)} absent from {ticks} of them, for up to {seconds(gap_s)} at a time")
    return "; " + "; ".join(parts) if parts else ", every modality used in each of them"


def _was(labels: list[str]) -> str:
    return "was" if len(labels) == 1 else "were"


def join(words: list[str]) -> str:
    """a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def milliseconds(value: float | None) -> str:
    """Three significant figures or so, without the unit; a dash for nothing."""
    if value is None:
        return "–"
    size = abs(value)
    digits = f"{size:.0f}" if size >= 99.95 else f"{size:.1f}" if size >= 9.995 else f"{size:.2f}"
    return digits if value >= 0 or float(digits) == 0 else f"\u2212{digits}"


def seconds(value: float | None) -> str:
    """With the unit; a dash for nothing."""
    if value is None:
        return "–"
    if abs(value) >= 120:
        return f"{value / 60:.1f} min"
    return f"{value:.0f} s" if abs(value) >= 100 else f"{value:.1f} s"


def count(value: int | None) -> str:
    """With a thin space between thousands."""
    return "–" if value is None else f"{value:,}".replace(",", "\u202f")


def percent(part: int, whole: int) -> str:
    """A share, with 100 % and 0 % kept for what is exactly so."""
    if whole == 0:
        return "–"
    share = 100 * part / whole
    if share in (0.0, 100.0):
        return f"{share:.0f} %"
    return f"{min(max(share, 0.1), 99.9):.1f} %"

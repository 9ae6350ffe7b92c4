"""Any log to MCAP, one message at a time."""

from __future__ import annotations

import heapq
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from sensorfuse.errors import SensorfuseError
from sensorfuse.log.detect import open_log
from sensorfuse.log.reader import LogReader
from sensorfuse.log.writer import LogWriter
from sensorfuse.messages import MessageTruth, Sample, Truth
from sensorfuse.rig import Rig


def convert(
    src: str | Path,
    dst: str | Path,
    progress: Callable[[int], None] | None = None,
    streams: Collection[str] | None = None,
    *,
    offsets_ns: Mapping[str, int] | None = None,
    rig: Rig | None = None,
    force: bool = False,
    compression: Literal["zstd", "lz4", "none"] = "zstd",
) -> dict[str, Any]:
    """Write `src` as an MCAP log, samples and truth in order of time. Stamps and receive times stay as they are read.

    Args:
        src: a log of any known format.
        dst: the MCAP file to write; an existing one only with `force`. It appears when it is complete.
        progress: called with the number of messages written so far, every 100 messages.
        streams: only these; all by default.
        offsets_ns: see `open_log`; with a rig, its known offsets by default.
        rig: written into the log (transforms, intrinsics, the rig file itself).
        force: replace `dst`.
        compression: of the chunks.

    Returns:
        `{"messages": {stream: count}, "truth": count, "rejected": {"stream: reason": count}, "notes": [...], "bytes":
        size}`

    Raises:
        SensorfuseError: `src` cannot be read, `dst` exists or cannot be written.
    """
    source, target = Path(src), Path(dst)
    if target.exists() and not force:
        raise SensorfuseError(f"{target}: exists already; choose another name or replace it with --force")
    if target.exists() and source.exists() and target.samefile(source):
        raise SensorfuseError(f"{target}: source and target are the same file")
    if rig is not None and offsets_ns is None:
        offsets_ns = rig.clock_offsets_ns()
    counts: Counter[str] = Counter()
    partial = target.with_name(target.name + ".part")
    try:
        with open_log(source, offsets_ns) as reader, LogWriter(partial, compression=compression) as writer:
            for info in reader.streams().values():
                writer.describe_stream(info)
            entries = _in_order(reader, streams)
            if rig is not None:
                first = next(entries, None)
                writer.write_rig(rig, first[0] if first is not None else 0)
                entries = _chain(first, entries)
            for number, (time_ns, _, item) in enumerate(entries, start=1):
                if isinstance(item, Truth):
                    writer.write_truth(item, time_ns)
                    counts["truth"] += 1
                elif isinstance(item, MessageTruth):
                    writer.write_event(item)
                else:
                    writer.write_sample(item)
                    counts[f"/{item.stream}"] += 1
                if progress is not None and number % 100 == 0:
                    progress(number)
            rejected = {f"{stream}: {reason}": n for (stream, reason), n in sorted(reader.rejected.items())}
            notes = list(reader.notes)
        try:
            os.replace(partial, target)
            size = target.stat().st_size
        except OSError as error:
            raise SensorfuseError(f"{target}: cannot be written: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)
    truth = counts.pop("truth", 0)
    messages = {name[1:]: count for name, count in sorted(counts.items())}
    return {"messages": messages, "truth": truth, "rejected": rejected, "notes": notes, "bytes": size}


def _in_order(
    reader: LogReader, streams: Collection[str] | None
) -> Iterator[tuple[int, int, Sample | Truth | MessageTruth]]:
    """Samples and their truth by receive time, truth of the scene by stamp, merged; truth comes first where they are
    equal.
    """
    samples = ((s.recv_ns, 1, s) for s in reader.samples(streams))
    truths = ((t.stamp_ns, 0, t) for t in reader.truth())
    events = ((e.recv_ns, 0, e) for e in reader.events() if streams is None or e.stream in streams)
    return heapq.merge(truths, events, samples, key=lambda entry: entry[:2])


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    if first is not None:
        yield first
    yield from rest

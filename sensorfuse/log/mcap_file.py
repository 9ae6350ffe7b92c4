"""MCAP files read chunk by chunk, in order of log time, whole or cut short.

A complete file has an index at its end. One whose writer was killed has none: then the records are walked once from the
start, headers only, up to where the file breaks off. Memory: the chunks that overlap in time, decompressed.
"""

from __future__ import annotations

import heapq
import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Attachment, Channel, Chunk, Schema
from mcap.stream_reader import get_chunk_data_stream

from sensorfuse.errors import SensorfuseError

MAGIC = b"\x89MCAP0\r\n"
MAX_CHUNK_BYTES = 1 << 30
_DAMAGE = (McapError, struct.error, ValueError, OSError, EOFError, KeyError, IndexError, MemoryError)


@dataclass(frozen=True)
class ChunkSpan:
    """Where a chunk's record begins in the file, and the log times of its messages; `messages` None where unknown."""

    start: int
    length: int
    first_ns: int
    last_ns: int
    messages: int | None = None


@dataclass(frozen=True)
class RawMessage:
    channel_id: int
    log_ns: int
    publish_ns: int
    data: bytes


@dataclass
class McapIndex:
    """What a file holds, before any message is read."""

    profile: str = ""
    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    counts: dict[int, int] | None = None  # messages per channel, where the file says
    chunks: list[ChunkSpan] = field(default_factory=list)
    attachments: list[tuple[str, int]] = field(default_factory=list)  # name, offset of the record
    notes: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)  # chunks that could not be read while indexing


class McapFile:
    """One MCAP file opened for reading.

    Raises:
        SensorfuseError: it is no MCAP file, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file: BinaryIO = path.open("rb")
            magic = self._file.read(len(MAGIC))
        except OSError as error:
            raise SensorfuseError(f"{path}: cannot be read: {error.strerror or error}") from None
        if magic != MAGIC:
            self._file.close()
            raise SensorfuseError(f"{path}: not an MCAP file: it does not begin with the MCAP mark")
        self.index = self._indexed() or self._walked()

    def close(self) -> None:
        self._file.close()

    # ---- the index
    # -----------------------------------------------------------------------------------------------------

    def _indexed(self) -> McapIndex | None:
        """The index at the file's end; None when it is missing, damaged, or does not cover the messages."""
        try:
            self._file.seek(0)
            reader = SeekingReader(self._file)
            profile = reader.get_header().profile
            summary = reader.get_summary()
        except _DAMAGE:
            return None
        if summary is None or summary.statistics is None:
            return None
        if summary.statistics.chunk_count != len(summary.chunk_indexes):
            return None
        if summary.statistics.message_count and not (summary.chunk_indexes and summary.channels):
            return None
        spans = [
            ChunkSpan(c.chunk_start_offset, c.chunk_length, c.message_start_time, c.message_end_time)
            for c in summary.chunk_indexes
        ]
        return McapIndex(
            profile,
            dict(summary.schemas),
            dict(summary.channels),
            dict(summary.statistics.channel_message_counts),
            spans,
            [(a.name, a.offset) for a in summary.attachment_indexes],
        )

    def _walked(self) -> McapIndex:
        """An index made by walking the records; ends quietly where the file does."""
        index = McapIndex()
        size = self.path.stat().st_size
        offset, loose = len(MAGIC), 0
        complete = False
        while offset + 9 <= size:
            self._file.seek(offset)
            opcode, length = struct.unpack("<BQ", self._file.read(9))
            end = offset + 9 + length
            if opcode == 0 or end > size:
                break
            if opcode == Opcode.HEADER:
                index.profile = ReadDataStream(self._file).read_prefixed_string()
            elif opcode == Opcode.CHUNK and length >= 40:
                self._walk_chunk(index, ChunkSpan(offset, end - offset, *struct.unpack("<QQ", self._file.read(16))))
            elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                self._register(index, opcode, self._file.read(length))
            elif opcode == Opcode.MESSAGE and length >= 22:
                _, _, log_ns, _ = struct.unpack("<HIQQ", self._file.read(22))
                index.chunks.append(ChunkSpan(offset, end - offset, log_ns, log_ns, 1))
                loose += 1
            elif opcode == Opcode.ATTACHMENT:
                self._file.seek(offset + 9 + 16)
                index.attachments.append((ReadDataStream(self._file).read_prefixed_string(), offset))
            elif opcode in (Opcode.DATA_END, Opcode.FOOTER):
                complete = True
                break
            offset = end
        if complete:
            index.notes.append("the index at the file's end is missing or damaged; all messages are read without it")
        else:
            index.notes.append(
                "the file has no end: its writer was stopped; "
                + (f"{loose} messages are read" if loose else f"its {len(index.chunks)} whole chunks are read")
            )
        return index

    def _walk_chunk(self, index: McapIndex, span: ChunkSpan) -> None:
        """Count a chunk's messages and learn the channels that it brings."""
        try:
            count = 0
            for opcode, body in self._chunk_records(span):
                if opcode == Opcode.MESSAGE:
                    count += 1
                elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                    self._register(index, opcode, bytes(body))
        except _DAMAGE as error:
            index.damaged.append(f"chunk at byte {span.start} cannot be read ({type(error).__name__})")
            return
        index.chunks.append(ChunkSpan(span.start, span.length, span.first_ns, span.last_ns, count))

    @staticmethod
    def _register(index: McapIndex, opcode: int, body: bytes) -> None:
        try:
            stream = ReadDataStream(io.BytesIO(body))
            if opcode == Opcode.SCHEMA:
                schema = Schema.read(stream)
                index.schemas[schema.id] = schema
            else:
                channel = Channel.read(stream)
                index.channels[channel.id] = channel
        except _DAMAGE:
            return

    # ---- messages
    # ------------------------------------------------------------------------------------------------------

    def _chunk_records(self, span: ChunkSpan) -> Iterator[tuple[int, memoryview]]:
        """Opcode and body of every record in a chunk (or of the single message that a span stands for).

        Raises:
            ValueError and others in `_DAMAGE`: the chunk is damaged.
        """
        self._file.seek(span.start)
        raw = self._file.read(span.length)
        if len(raw) != span.length or len(raw) < 9:
            raise EOFError
        if raw[0] == Opcode.MESSAGE:
            yield raw[0], memoryview(raw)[9:]
            return
        chunk = Chunk.read(ReadDataStream(io.BytesIO(raw[9:])))
        if chunk.uncompressed_size > MAX_CHUNK_BYTES:
            raise ValueError("chunk too large")
        try:
            stream, size = get_chunk_data_stream(chunk, validate_crc=True)
        except Exception as error:  # each compression library has exceptions of its own
            raise ValueError(str(error)) from None
        data = stream.read(size)
        view, at = memoryview(data), 0
        while at + 9 <= size:
            opcode, length = struct.unpack_from("<BQ", data, at)
            if at + 9 + length > size:
                raise ValueError("record runs over its chunk")
            yield opcode, view[at + 9 : at + 9 + length]
            at += 9 + length

    def _chunk_messages(self, span: ChunkSpan, channels: set[int]) -> list[RawMessage]:
        out = []
        for opcode, body in self._chunk_records(span):
            if opcode == Opcode.MESSAGE:
                channel, _, log_ns, publish_ns = struct.unpack_from("<HIQQ", body)
                if channel in channels:
                    out.append(RawMessage(channel, log_ns, publish_ns, bytes(body[22:])))
        out.sort(key=lambda message: message.log_ns)  # stable: equal times keep the order of writing
        return out

    def _lost(self, span: ChunkSpan, channels: set[int]) -> dict[int, int]:
        """Messages per channel in a chunk that cannot be read, from the message indexes behind it."""
        lost: dict[int, int] = {}
        offset = span.start + span.length
        try:
            while True:
                self._file.seek(offset)
                opcode, length = struct.unpack("<BQ", self._file.read(9))
                if opcode != Opcode.MESSAGE_INDEX:
                    return {c: n for c, n in lost.items() if c in channels}
                channel, size = struct.unpack("<HI", self._file.read(6))
                lost[channel] = lost.get(channel, 0) + size // 16
                offset += 9 + length
        except struct.error:
            return {c: n for c, n in lost.items() if c in channels}

    def messages(
        self, channels: set[int], on_damage: Callable[[ChunkSpan, dict[int, int]], None]
    ) -> Iterator[RawMessage]:
        """Messages of these channels by log time; equal times in the order of writing.

        `on_damage` is told of every chunk that cannot be read and how many messages of each channel it held.
        """
        waiting = sorted(self.index.chunks, key=lambda c: (c.first_ns, c.start))
        heap: list[tuple[int, int, int, list[RawMessage]]] = []  # log time, chunk start, position, messages
        position = 0
        while position < len(waiting) or heap:
            while position < len(waiting) and (not heap or waiting[position].first_ns <= heap[0][0]):
                span = waiting[position]
                position += 1
                try:
                    batch = self._chunk_messages(span, channels)
                except _DAMAGE:
                    on_damage(span, self._lost(span, channels))
                    continue
                if batch:
                    heapq.heappush(heap, (batch[0].log_ns, span.start, 0, batch))
            if not heap:
                continue
            _, start, at, batch = heap[0]
            yield batch[at]
            if at + 1 < len(batch):
                heapq.heapreplace(heap, (batch[at + 1].log_ns, start, at + 1, batch))
            else:
                heapq.heappop(heap)

    def attachment(self, name: str) -> bytes | None:
        """The newest attachment of this name, or None."""
        for known, offset in reversed(self.index.attachments):
            if known == name:
                try:
                    self._file.seek(offset + 9)
                    return Attachment.read(ReadDataStream(self._file)).data
                except _DAMAGE:
                    return None
        return None

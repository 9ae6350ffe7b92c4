"""Large payloads on one host: a ring of slots in shared memory, which readers map and read in place.

A publisher keeps its ring in two files of a folder that only this user may enter: the payloads, which readers map
read-only, and a small table in which each reader says which slots it is done with. A slot is written anew only when
every reader has said so, so that no reader, however slow, sees bytes change; where none is free, the payload travels in
the message as it would without. A message refers to a slot by number and generation; the reader checks both, and every
length, against its own mapping.

A reader holds a lock of the kernel's on its row of the table, the publisher one on its ring: the kernel drops them when
a process dies in whatever way, so a dead reader holds up nobody, and what a dead publisher left is swept away.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import mmap
import os
import re
import secrets
import stat
import struct
import sys
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.errors import SensorfuseError
from sensorfuse.private_files import is_private

ROOT = Path("/dev/shm")
LEAST_BYTES = 1 << 20
"""Smaller payloads travel in the message: there the slot gains nothing."""
SLOTS = 8
READERS = 16
MAX_HELD = 2
"""Payloads that a reader keeps in place; of further ones it makes copies, so that the ring keeps slots to write."""
SPARE = 1.25  # room in a slot for payloads that grow: clouds do
MAX_SLOT_BYTES = 1 << 28
_MAGIC = 0x53465348
_HEAD = struct.Struct("<IIQ")
_GENERATIONS_AT = 64
_SLOTS_AT = 4096
_JOINED = SLOTS  # the column in which a reader says that its row is in use
_TABLE_BYTES = READERS * (SLOTS + 1) * 8
_NAME = re.compile(r"[a-z0-9_]{1,64}-[0-9a-f]{16}")
_OFD_SET, _OFD_GET = getattr(fcntl, "F_OFD_SETLK", 0), getattr(fcntl, "F_OFD_GETLK", 0)

Bytes = NDArray[np.uint8]


class NotShared(Exception):
    """A payload that cannot be read from shared memory; its text says why."""


def is_supported() -> bool:
    """Whether this system has shared memory as files, and locks that belong to an open file."""
    return sys.platform.startswith("linux") and _OFD_SET != 0 and os.access(ROOT, os.W_OK)


def shared_folder(run_folder: Path, root: Path = ROOT) -> Path:
    """The folder of the rings that belong to a folder of sockets; made if absent, entered by nobody else.

    Raises:
        SensorfuseError: it cannot be made, or is another user's.
    """
    folder = _folder_of(run_folder, root)
    try:
        for part in (folder.parent, folder):
            part.mkdir(mode=0o700, exist_ok=True)
            found = part.lstat()
            if not stat.S_ISDIR(found.st_mode) or not is_private(found):
                raise SensorfuseError(f"{part} must be a folder of this user's alone; remove it, or chmod 700 it")
    except OSError as error:
        raise SensorfuseError(f"cannot make the folder for shared memory, {folder}: {error.strerror}") from None
    return folder


def count_rings(run_folder: Path, root: Path = ROOT) -> int:
    """How many rings lie in the folder that belongs to a folder of sockets; none where there is no such folder."""
    return sum(1 for _ in _folder_of(run_folder, root).glob("*.ring"))


def _folder_of(run_folder: Path, root: Path) -> Path:
    return root / f"sensorfuse-{os.getuid()}" / hashlib.sha256(str(run_folder.resolve()).encode()).hexdigest()[:16]


def _lock(file: int, byte: int) -> bool:
    """Lock one byte of an open file, without waiting; False where another open file has it."""
    try:
        fcntl.fcntl(file, _OFD_SET, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
    except OSError:
        return False
    return True


def _is_locked(file: int, byte: int) -> bool:
    """Whether another open file has locked a byte."""
    asked = fcntl.fcntl(file, _OFD_GET, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
    return bool(struct.unpack("hhqqi4x", asked)[0] != fcntl.F_UNLCK)


def sweep(folder: Path, stream: str = "*", age_s: float = 0.0) -> int:
    """Remove what publishers that are gone left in a folder; returns how many rings there were.

    Args:
        folder: of `shared_folder`.
        stream: only this one's.
        age_s: only files that were last changed so long ago: another process may be about to lock a newer one.
    """
    removed = 0
    for payloads in folder.glob(f"{stream}-*.ring"):
        with contextlib.suppress(OSError):
            file = os.open(payloads, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if not _is_locked(file, READERS) and time.time() - os.fstat(file).st_mtime >= age_s:
                    payloads.unlink()
                    payloads.with_suffix(".done").unlink(missing_ok=True)
                    removed += 1
            finally:
                os.close(file)
    return removed


def sweep_shared_memory(run_folder: Path, root: Path = ROOT) -> int:
    """At the end of a run: remove what its publishers left, and what those of any other run that is gone did; returns
    how many rings there were.
    """
    if not is_supported():
        return 0
    own = shared_folder(run_folder, root)
    removed = 0
    for folder in (root / f"sensorfuse-{os.getuid()}").glob("*"):
        removed += sweep(folder, age_s=0.0 if folder == own else 60.0)
        if folder == own:
            with contextlib.suppress(OSError):
                folder.rmdir()
    return removed


@dataclass(frozen=True)
class Place:
    """Where a sample's large arrays lie: by array its (offset, length) in the slot, or None for one in the message.

    `readers`: one bit for each reader that the publisher waits for before it writes the slot anew.
    """

    ring: str
    slot: int
    generation: int
    readers: int
    spans: list[tuple[int, int] | None]


class _Ring:
    """The publisher's side of one ring."""

    def __init__(self, folder: Path, stream: str, slot_bytes: int) -> None:
        self.name = f"{stream}-{secrets.token_hex(8)}"
        self.slot_bytes = -(-slot_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self._paths = [folder / f"{self.name}.done", folder / f"{self.name}.ring"]
        sizes = [_TABLE_BYTES, _SLOTS_AT + SLOTS * self.slot_bytes]
        self._files: list[int] = []
        try:
            for path, size in zip(self._paths, sizes, strict=True):
                self._files.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
                _lock(self._files[-1], READERS)  # on the ring: its publisher lives; of the table that byte is unused
                os.posix_fallocate(self._files[-1], 0, size)  # no room is found out here, not by a fault in the writing
            done, ring = (mmap.mmap(f, n) for f, n in zip(self._files, sizes, strict=True))
        except OSError:
            self.close()
            raise
        self._table = memoryview(done).cast("Q", (READERS, SLOTS + 1))
        self._bytes = np.frombuffer(ring, np.uint8)
        self._generations = memoryview(ring)[_GENERATIONS_AT : _GENERATIONS_AT + 8 * SLOTS].cast("Q")
        self._next = 1
        _HEAD.pack_into(ring, 0, _MAGIC, SLOTS, self.slot_bytes)

    def readers(self) -> list[int]:
        """The rows of the readers that are alive."""
        return [r for r in range(READERS) if self._table[r, _JOINED] and _is_locked(self._files[0], r)]

    def put(self, arrays: list[NDArray[Any] | None], readers: list[int]) -> Place | None:
        """Copy arrays into the slot that was written last of those that all readers are done with, as caches still
        hold it; None where there is none.
        """
        generations = self._generations.tolist()
        free = [s for s, g in enumerate(generations) if all(self._table[r, s] >= g for r in readers)]
        if not free:
            return None
        slot = max(free, key=generations.__getitem__)
        self._generations[slot] = 0
        start, spans = _SLOTS_AT + slot * self.slot_bytes, list[tuple[int, int] | None]()
        at = 0
        for array in arrays:
            spans.append(None if array is None else (at, array.nbytes))
            if array is not None:
                self._bytes[start + at : start + at + array.nbytes] = array.reshape(-1).view(np.uint8)
                at += -(-array.nbytes // 64) * 64
        generation, self._next = self._next, self._next + 1
        self._generations[slot] = generation
        return Place(self.name, slot, generation, sum(1 << r for r in readers), spans)

    def close(self) -> None:
        """Remove the files; who has them mapped still reads what is there."""
        for path in self._paths:
            path.unlink(missing_ok=True)
        for file in self._files:
            os.close(file)
        self._files = []


class SharedWriter:
    """A stream's large payloads: in shared memory while every subscriber reads there, else in the message.

    Args:
        folder: of `shared_folder`.
        stream: whose payloads; nobody else publishes them.
        subscribers: says how many there are now; those that map the ring say so in its table.
    """

    def __init__(self, folder: Path, stream: str, subscribers: Callable[[], int]) -> None:
        self._folder = folder
        self._stream = stream
        self._subscribers = subscribers
        self._ring: _Ring | None = None
        self._no_room = False
        sweep(folder, stream)

    def place(self, arrays: list[NDArray[Any]]) -> Place | str:
        """Where the arrays of one sample now lie, which are C-contiguous. The ring's name alone where they have to
        travel in the message: it tells subscribers where to read from then on; "" where there is no ring.
        """
        large = [a if a.nbytes >= LEAST_BYTES else None for a in arrays]
        needed = sum(-(-a.nbytes // 64) * 64 for a in large if a is not None)
        if not needed or needed > MAX_SLOT_BYTES or self._no_room:
            return ""
        if self._ring is None or needed > self._ring.slot_bytes:
            self.close()
            try:
                self._ring = _Ring(self._folder, self._stream, round(SPARE * needed))
            except OSError:  # no room in shared memory: it goes as it would without
                self._no_room = True
                return ""
        readers = self._ring.readers()
        if not readers or len(readers) < self._subscribers():
            return self._ring.name
        return self._ring.put(large, readers) or self._ring.name

    def close(self) -> None:
        if self._ring is not None:
            self._ring.close()
            self._ring = None


class _Mapping:
    """The reader's side of one ring."""

    def __init__(self, folder: Path, name: str) -> None:
        files: list[int] = []
        row: int | None
        try:
            for suffix, access in ((".ring", os.O_RDONLY), (".done", os.O_RDWR)):
                files.append(os.open(folder / f"{name}{suffix}", access | os.O_NOFOLLOW | os.O_CLOEXEC))
            ring = self._checked(files)
            row = next((r for r in range(READERS) if _lock(files[1], r)), None)
            if row is None:
                raise NotShared(f"ring {name!r} has {READERS} readers already")
            table = mmap.mmap(files[1], _TABLE_BYTES)
        except OSError as error:
            for file in files:
                os.close(file)
            raise NotShared(f"ring {name!r}: {error.strerror}") from None
        except NotShared:
            for file in files:
                os.close(file)
            raise
        os.close(files[0])
        self.row = row
        self._file = files[1]  # holds the lock
        self._bytes = np.frombuffer(ring, np.uint8)
        self._generations = memoryview(ring)[_GENERATIONS_AT : _GENERATIONS_AT + 8 * SLOTS].cast("Q")
        first = row * (SLOTS + 1) * 8
        self._row = memoryview(table)[first : first + 8 * (SLOTS + 1)].cast("Q")
        self._row[:SLOTS] = self._generations
        self._row[_JOINED] = 1
        self._held: set[int] = set()

    def _checked(self, files: list[int]) -> mmap.mmap:
        for file in files:
            found = os.fstat(file)
            if not is_private(found):
                raise NotShared("the ring is not this user's alone")
        size = os.fstat(files[0]).st_size
        if size < _SLOTS_AT or os.fstat(files[1]).st_size != _TABLE_BYTES:
            raise NotShared("the ring's files are too short")
        ring = mmap.mmap(files[0], size, prot=mmap.PROT_READ)
        magic, slots, self.slot_bytes = _HEAD.unpack_from(ring)
        if magic != _MAGIC or slots != SLOTS or self.slot_bytes * SLOTS != size - _SLOTS_AT:
            raise NotShared("the ring's head does not fit its size")
        return ring

    def take(self, place: Place) -> list[Bytes | None]:
        if not place.readers >> self.row & 1:
            raise NotShared("the publisher did not know of this reader yet")
        if not 0 <= place.slot < SLOTS or self._generations[place.slot] != place.generation:
            raise NotShared("the slot was written anew")
        for span in place.spans:
            if span is not None and not 0 <= span[0] <= span[0] + span[1] <= self.slot_bytes:
                raise NotShared("a span lies outside its slot")
        for slot, generation in enumerate(self._generations.tolist()):
            if generation < place.generation and slot not in self._held:  # read, or of a message that never came
                self._row[slot] = generation
        start = _SLOTS_AT + place.slot * self.slot_bytes
        base = self._bytes[start : start + self.slot_bytes]
        if len(self._held) >= MAX_HELD or place.slot in self._held:
            base = base.copy()
            self._row[place.slot] = place.generation
        else:
            base = np.frombuffer(base.data, np.uint8)  # an owner of its own, whose end says that all is read
            self._held.add(place.slot)
            weakref.finalize(base, self._release, place.slot, place.generation).atexit = False
        return [None if s is None else base[s[0] : s[0] + s[1]] for s in place.spans]

    def _release(self, slot: int, generation: int) -> None:
        self._row[slot] = generation
        self._held.discard(slot)

    def close(self) -> None:
        self._row[_JOINED] = 0
        os.close(self._file)


class SharedReader:
    """Payloads of any stream of a run, by the places that messages name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mappings: dict[str, _Mapping] = {}  # by stream
        self._names: dict[str, str] = {}

    def join(self, ring: str) -> None:
        """Map a ring, so that its publisher may refer to it from now on; what cannot be mapped keeps coming inline."""
        with contextlib.suppress(NotShared):
            self._mapping(ring)

    def take(self, place: Place) -> list[Bytes | None]:
        """The bytes of each array, in place and read-only; None for those in the message. A slot is held until the last
        array that views it is gone.

        Raises:
            NotShared: no such ring, or the place does not fit it.
        """
        return self._mapping(place.ring).take(place)

    def _mapping(self, ring: str) -> _Mapping:
        if not _NAME.fullmatch(ring):
            raise NotShared(f"{ring!r} is no name of a ring")
        stream = ring.rpartition("-")[0]
        if self._names.get(stream) != ring:
            mapping = _Mapping(self._folder, ring)
            if stream in self._mappings:
                self._mappings[stream].close()
            self._mappings[stream], self._names[stream] = mapping, ring
        return self._mappings[stream]

    def close(self) -> None:
        for mapping in self._mappings.values():
            mapping.close()
        self._mappings.clear()
        self._names.clear()

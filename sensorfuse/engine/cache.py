"""The user's cache of compiled engines: `$XDG_CACHE_HOME/sensorfuse/engines`, or below `~/.cache`.

An engine file is code, so only what this user wrote is read back: a regular file of this user that nobody else may
read or write (0600), in a folder of this user that nobody else may enter (0700), whose SHA-256 stands in the record
beside it. Whatever fails that is as good as absent: the engine is built anew.

An entry is a payload `<name>.engine` and its record `<name>.json`. Both are written to one side and moved into place,
the record last, so that a crash leaves an entry whole or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from sensorfuse import private_files
from sensorfuse.errors import SensorfuseError
from sensorfuse.plain_json import read_object
from sensorfuse.private_files import close_to_others, is_private, read_private

LIMIT_BYTES = 4 * 2**30
"""Size to which the cache keeps itself: the entries used longest ago go first."""
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class NoSpaceError(SensorfuseError):
    """The disk is full: what was to be cached can still be used from memory."""


@dataclass(frozen=True)
class CacheKey:
    """What an engine depends on; engines of two keys are never taken for one another.

    `model` is the SHA-256 of the ONNX file, `version` that of the backend, `architecture` the GPU's compute capability
    ("8.9"), `profile` the ranges of the free axes and the builder's settings, as text.
    """

    model: str
    precision: str
    backend: str
    version: str
    architecture: str
    profile: str

    @property
    def name(self) -> str:
        """Name of the entry: the SHA-256 of all fields, as hexadecimal."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:40]


@dataclass(frozen=True)
class CacheEntry:
    """One cached engine as its record tells."""

    key: CacheKey
    label: str
    size: int
    made_s: float
    path: Path


def cache_folder(kind: str) -> Path:
    """Where this user's `kind` of cached files lie: below `$XDG_CACHE_HOME`, or `~/.cache`.

    Raises:
        SensorfuseError: `XDG_CACHE_HOME` is no absolute path.
    """
    home = os.environ.get("XDG_CACHE_HOME", "")
    if home and not Path(home).is_absolute():
        raise SensorfuseError(f"XDG_CACHE_HOME is {home!r}; it must be an absolute path")
    return (Path(home) if home else Path.home() / ".cache") / "sensorfuse" / kind


def private_folder(folder: Path) -> Path:
    """The folder, made if need be, that only this user can enter.

    Raises:
        SensorfuseError: it can't be made, or belongs to another user.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        close_to_others(folder)
        found = folder.lstat()
    except OSError as error:
        raise _write_error(folder, error) from None
    if not stat.S_ISDIR(found.st_mode) or not is_private(found):
        raise SensorfuseError(
            f"{folder}: the cache must be a folder of this user's own, as engines are code; remove it, or set "
            "XDG_CACHE_HOME to a folder of yours"
        )
    return folder


def write_private(path: Path, content: bytes) -> None:
    """As `private_files.write_private`.

    Raises:
        NoSpaceError: the disk is full.
        SensorfuseError: it can't be written.
    """
    try:
        private_files.write_private(path, content)
    except OSError as error:
        raise _write_error(path, error) from None


def _write_error(path: Path, error: OSError) -> SensorfuseError:
    if error.errno in NO_SPACE:
        return NoSpaceError(
            f"{path}: no disk space left for a compiled engine; free some (`sensorfuse compile --clear-cache`), or set "
            "XDG_CACHE_HOME to another disk"
        )
    return SensorfuseError(
        f"{path}: cannot be written: {error.strerror or error}; set XDG_CACHE_HOME to a folder of yours"
    )


class EngineCache:
    """Compiled engines by key.

    Args:
        folder: default the user's cache.
        limit_bytes: what `put` prunes to.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = folder or cache_folder("engines")
        self.limit_bytes = limit_bytes

    def get(self, key: CacheKey) -> bytes | None:
        """The engine of a key; None where there is none that is whole and this user's own."""
        if not self._trusted():
            return None
        record = self._record(self._file(key, "json"))
        payload = read_private(self._file(key, "engine"))
        if record is None or payload is None or record.get("key") != asdict(key):
            return None
        if hashlib.sha256(payload).hexdigest() != record.get("sha256"):
            return None
        with contextlib.suppress(OSError):
            os.utime(self._file(key, "engine"))  # used now: pruned last
        return payload

    def put(self, key: CacheKey, payload: bytes, label: str = "", **notes: Any) -> Path:
        """Keep an engine, prune others; the file it lies in.

        Args:
            label: what it is, for people.
            notes: further plain values for the record.

        Raises:
            NoSpaceError: the disk is full.
            SensorfuseError: the cache can't be written, or is another user's.
        """
        private_folder(self.folder)
        path, record_file = self._file(key, "engine"), self._file(key, "json")
        record = {
            "key": asdict(key),
            "label": label,
            "size": len(payload),
            "sha256": hashlib.sha256(payload).hexdigest(),
            "made_s": round(time.time(), 3),
            **notes,
        }
        write_private(path, payload)
        try:
            write_private(record_file, (json.dumps(record, indent=1) + "\n").encode())
        except SensorfuseError:
            self.drop(key)
            raise
        self._prune(keep=key.name)
        return path

    def drop(self, key: CacheKey) -> None:
        """Forget an engine."""
        self._remove(key.name)

    def entries(self) -> list[CacheEntry]:
        """What lies in the cache and can be read, the longest unused first."""
        if not self._trusted():
            return []
        found = []
        for record_file in self.folder.glob("*.json"):
            record, path = self._record(record_file), record_file.with_suffix(".engine")
            try:
                assert record is not None
                key = CacheKey(**{f.name: str(record["key"][f.name]) for f in fields(CacheKey)})
                entry = CacheEntry(key, str(record["label"]), path.stat().st_size, float(record["made_s"]), path)
                found.append((path.stat().st_mtime_ns, key.name, entry))
            except (AssertionError, KeyError, TypeError, ValueError, OSError):
                continue
        return [entry for _, _, entry in sorted(found, key=lambda f: f[:2])]

    def stale(self, versions: dict[str, str]) -> list[CacheEntry]:
        """Entries that no backend here can use: made by another version than `versions[backend]`, or by a backend that
        is gone.
        """
        return [e for e in self.entries() if versions.get(e.key.backend) != e.key.version]

    def clear(self, chosen: list[CacheEntry] | None = None) -> int:
        """Remove entries, by default all with every leftover; how many bytes that frees."""
        if not self._trusted():
            return 0
        if chosen is not None:
            return sum(self._remove(e.path.stem) for e in chosen)
        names = {p.stem for p in self.folder.iterdir() if p.suffix in (".engine", ".json")}
        freed = sum(self._remove(name) for name in sorted(names))
        for leftover in self.folder.glob(".new-*"):
            freed += _unlink(leftover)
        return freed

    def _prune(self, keep: str) -> None:
        held = self.entries()
        total = sum(e.size for e in held)
        for entry in held:
            if total <= self.limit_bytes:
                return
            if entry.path.stem != keep:
                total -= entry.size
                self._remove(entry.path.stem)

    def _file(self, key: CacheKey, suffix: str) -> Path:
        return self.folder / f"{key.name}.{suffix}"

    def _trusted(self) -> bool:
        """Whether the folder is there, this user's own, and closed to everybody else."""
        try:
            found = self.folder.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(found.st_mode) and is_private(found)

    @staticmethod
    def _record(path: Path) -> dict[str, Any] | None:
        content = read_private(path)
        try:
            return read_object(content) if content is not None else None
        except ValueError:
            return None

    def _remove(self, name: str) -> int:
        return sum(_unlink(self.folder / f"{name}.{suffix}") for suffix in ("json", "engine"))


def _unlink(path: Path) -> int:
    """Remove a file if it is there; how many bytes that frees."""
    try:
        size = path.lstat().st_size
        path.unlink()
    except OSError:
        return 0
    return size

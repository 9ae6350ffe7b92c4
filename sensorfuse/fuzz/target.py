"""What is fuzzed: one decoder or reader, the valid inputs that mutation starts from, and what it may raise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class Structure(Protocol):
    """How an input reads as a tree of lists, maps and scalars, so that one value of it can be changed at a time."""

    def parse(self, data: bytes) -> Any:
        """The tree; raises ValueError where the bytes are none."""

    def build(self, tree: Any) -> bytes:
        """The bytes of a tree; raises ValueError or TypeError where it cannot be written."""


@dataclass(frozen=True)
class Harness:
    """A target set up in a scratch folder. `run` takes any bytes; it ends, or raises one of `expected`."""

    seeds: list[bytes]
    run: Callable[[bytes], None]
    expected: tuple[type[Exception], ...]
    structure: Structure | None = None


@dataclass(frozen=True)
class Target:
    """`open` sets it up. `share` is its part of a run over all targets, by how fast it is."""

    name: str
    what: str
    open: Callable[[Path], Harness]
    share: int = 1


class FolderInput:
    """A recording that is a folder of files: an input is the number of one file (its first byte) and that file's new
    content; the others are as they were made.
    """

    def __init__(self, root: Path, read: Callable[[Path], object]) -> None:
        self.root = root
        self._read = read
        self._files = sorted(p for p in root.rglob("*") if p.is_file())
        self._contents = [p.read_bytes() for p in self._files]

    def seeds(self) -> list[bytes]:
        return [bytes([i]) + content for i, content in enumerate(self._contents)]

    def run(self, data: bytes) -> None:
        place = data[0] % len(self._files) if data else 0
        file = self._files[place]
        file.write_bytes(data[1:])
        try:
            self._read(self.root)
        finally:
            file.write_bytes(self._contents[place])


class FileInput:
    """A recording or configuration that is one file."""

    def __init__(self, file: Path, read: Callable[[Path], object]) -> None:
        self._file = file
        self._read = read

    def run(self, data: bytes) -> None:
        self._file.write_bytes(data)
        self._read(self._file)

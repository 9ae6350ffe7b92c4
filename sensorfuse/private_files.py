"""Files and folders that are this user's alone: no one else may read, write or enter them (0600, 0700)."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from sensorfuse.errors import SensorfuseError


def is_private(found: os.stat_result) -> bool:
    """Whether what was found is this user's own and closed to all others."""
    return found.st_uid == os.geteuid() and not found.st_mode & 0o077


def require_private(path: Path, what: str) -> None:
    """Check that a file or folder is this user's and closed to all others, and no link.

    Raises:
        SensorfuseError: it is not.
    """
    try:
        found = path.lstat()
    except OSError as error:
        raise SensorfuseError(f"{path}: cannot be read as a {what}: {error.strerror or error}") from None
    if stat.S_ISLNK(found.st_mode):
        raise SensorfuseError(f"{path}: is a link, no {what}; name what it leads to")
    if found.st_uid != os.geteuid():
        raise SensorfuseError(f"{path}: this {what} belongs to another user; use one of your own")
    if not is_private(found):
        mode = "700" if stat.S_ISDIR(found.st_mode) else "600"
        raise SensorfuseError(
            f"{path}: other users may enter this {what} (mode {found.st_mode & 0o777:03o}): `chmod {mode} {path}`"
        )


def close_to_others(folder: Path) -> None:
    """Close a folder of this user's that others may enter; what is no folder, or another's, is left as it is.

    Raises:
        OSError: it is not there, or cannot be closed.
    """
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not is_private(found):
        folder.chmod(0o700)


def write_private(path: Path, content: bytes) -> None:
    """Put a file in place in one step: it is there whole, or the old one stays; at no moment may others read it.

    Raises:
        OSError: it can't be written.
    """
    handle, held = tempfile.mkstemp(dir=path.parent, prefix=".new-")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(held, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(held)
        raise


def read_private(path: Path) -> bytes | None:
    """The content of a regular file that this user wrote and nobody else may touch; None if there is none such."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        return file.read() if stat.S_ISREG(found.st_mode) and is_private(found) else None

"""Keys of hosts for sockets beyond this one: a CURVE key pair of this host, and the public keys of the hosts that it
knows, by name.

A host is known in both directions: it may connect here, and its own sockets are believed to be its only if they hold
the secret half of the key by which it is known. The secret half never leaves its host.

The folder is this user's alone (0700), every file in it too (0600): `own.key` holds this host's name and pair, and
`known/NAME.pub` the public key of each other host.
"""

from __future__ import annotations

import os
import re
import socket as sockets
from pathlib import Path

import zmq
from zmq.utils import z85

from sensorfuse.errors import SensorfuseError
from sensorfuse.private_files import require_private, write_private

KEYS_DIR_VARIABLE = "SENSORFUSE_KEYS_DIR"
OWN_FILE = "own.key"
KNOWN_FOLDER = "known"
KEY_CHARACTERS = 40  # of 32 bytes in Z85
MAX_KEY_FILE_BYTES = 1024
_NAME = re.compile(r"^[a-z0-9][a-z0-9_-]{0,62}$")


def keys_folder() -> Path:
    """Where the keys of this user lie."""
    given = os.environ.get(KEYS_DIR_VARIABLE)
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "sensorfuse" / "keys"


class KeyRing:
    """The keys in a folder, read when they are needed: a host allowed or forgotten counts from the next connection on.

    Args:
        folder: default `keys_folder()`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or keys_folder()

    # ---- this host

    @property
    def exists(self) -> bool:
        return (self.folder / OWN_FILE).exists()

    def make(self, name: str | None = None, replace: bool = False) -> str:
        """Make this host's key pair; returns its public half.

        Raises:
            SensorfuseError: there is one already, the name is none, or the folder cannot be written.
        """
        name = checked_name(name if name is not None else _host_name())
        if self.exists and not replace:
            raise SensorfuseError(
                f"{self.folder / OWN_FILE}: this host has a key already, and the other hosts know it; "
                "`sensorfuse keys list` shows it, `sensorfuse keys make --replace` makes another"
            )
        self._make_folders()
        public, secret = zmq.curve_keypair()
        text = f"name {name}\npublic {public.decode()}\nsecret {secret.decode()}\n"
        _write_key(self.folder / OWN_FILE, text)
        return public.decode()

    def own(self) -> tuple[str, bytes, bytes]:
        """This host's name, public key and secret key.

        Raises:
            SensorfuseError: there are none, others may read them, or the file is damaged.
        """
        file = self.folder / OWN_FILE
        if not file.exists():
            raise SensorfuseError(f"{file}: this host has no key; make one with `sensorfuse keys make`")
        require_private(self.folder, "folder of keys")
        words = dict(line.partition(" ")[::2] for line in _read_key(file).splitlines())
        try:
            name, public, secret = words["name"], words["public"].encode(), words["secret"].encode()
            sound = zmq.curve_public(secret) == public
        except (KeyError, ValueError, zmq.ZMQError):
            sound = False
        if not sound:
            raise SensorfuseError(f"{file}: damaged; make another with `sensorfuse keys make --replace`")
        return name, public, secret

    # ---- other hosts

    def allow(self, name: str, public: str) -> None:
        """Know another host by its public key, in the place of what was known under that name.

        Raises:
            SensorfuseError: the name or the key is none, the key is known under another name, or the name is this
                host's own while the key is not, or the other way round.
        """
        name, public = checked_name(name), checked_key(public)
        if self.exists and name == self.own()[0] and public != self.own()[1].decode():
            raise SensorfuseError(
                f"{name!r} is what this host's own key is called, and this is another key; give the other host another "
                "name: `sensorfuse keys make NAME --replace` there"
            )
        for other, known in self.known().items():
            if known == public and other != name:
                raise SensorfuseError(f"this key is known as {other!r} already; `sensorfuse keys forget {other}` first")
        self._make_folders()
        _write_key(self.folder / KNOWN_FOLDER / f"{name}.pub", f"{public}\n")

    def forget(self, name: str) -> None:
        """Know a host no more: it is let in no longer, from its next connection on.

        Raises:
            SensorfuseError: it was not known.
        """
        try:
            (self.folder / KNOWN_FOLDER / f"{checked_name(name)}.pub").unlink()
        except FileNotFoundError:
            raise SensorfuseError(f"no host is known as {name!r}; known: {', '.join(self.known()) or 'none'}") from None

    def known(self) -> dict[str, str]:
        """Public keys by name, this host's own among them; a damaged file counts as none."""
        out: dict[str, str] = {}
        for file in sorted((self.folder / KNOWN_FOLDER).glob("*.pub")):
            try:
                out[checked_name(file.stem)] = checked_key(_read_key(file))
            except SensorfuseError:
                continue
        if self.exists:
            name, public, _ = self.own()
            out[name] = public.decode()
        return out

    def public_key(self, name: str) -> bytes:
        """The key that a host's sockets must hold.

        Raises:
            SensorfuseError: the host is not known.
        """
        known = self.known()
        if name not in known:
            raise SensorfuseError(
                f"the key of the host {name!r} is not known here; take what `sensorfuse keys list` says there and run "
                f"`sensorfuse keys allow {name} PUBLIC_KEY`; known: {', '.join(known) or 'none'}"
            )
        return known[name].encode()

    def _make_folders(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (self.folder / KNOWN_FOLDER).mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise SensorfuseError(f"{self.folder}: cannot be made: {error.strerror or error}") from None
        require_private(self.folder, "folder of keys")
        require_private(self.folder / KNOWN_FOLDER, "folder of keys")


def checked_name(name: str) -> str:
    if not _NAME.match(name):
        raise SensorfuseError(f"{name!r} is no name of a host: use lower-case letters, digits, - and _")
    return name


def checked_key(text: str) -> str:
    """A public key as text; 40 characters of Z85."""
    key = text.strip()
    try:
        if len(key) != KEY_CHARACTERS or len(z85.decode(key.encode())) != 32:
            raise ValueError(key)
    except (ValueError, KeyError, IndexError, zmq.ZMQError):
        raise SensorfuseError(
            f"{key[:60]!r} is no public key: it has {KEY_CHARACTERS} characters, see `sensorfuse keys list`"
        ) from None
    return key


def _host_name() -> str:
    return re.sub(r"[^a-z0-9-]", "-", sockets.gethostname().split(".")[0].lower()).strip("-") or "host"


def _read_key(file: Path) -> str:
    require_private(file, "key file")
    try:
        with file.open(encoding="ascii") as handle:
            return handle.read(MAX_KEY_FILE_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise SensorfuseError(f"{file}: cannot be read as a key file: {error}") from None


def _write_key(file: Path, text: str) -> None:
    try:
        write_private(file, text.encode("ascii"))
    except OSError as error:
        raise SensorfuseError(f"{file}: cannot be written: {error.strerror or error}") from None

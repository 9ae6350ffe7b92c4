"""Keys: made, allowed, forgotten, and never left open to others."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import zmq

from sensorfuse.errors import SensorfuseError
from sensorfuse.keys import KeyRing


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "a" / "keys")


def test_a_pair_is_made_once_and_for_this_user_alone(ring: KeyRing) -> None:
    old = os.umask(0)
    try:
        public = ring.make("brain")
        ring.allow("roof", zmq.curve_keypair()[0].decode())
    finally:
        os.umask(old)
    assert ring.own()[:2] == ("brain", public.encode())
    for path in [ring.folder, *ring.folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    with pytest.raises(SensorfuseError, match="has a key already"):
        ring.make("brain")
    assert ring.make("brain", replace=True) != public


def test_hosts_are_known_until_they_are_forgotten(ring: KeyRing) -> None:
    own = ring.make("brain")
    key = zmq.curve_keypair()[0].decode()
    ring.allow("roof", f" {key}\n")
    assert ring.known() == {"brain": own, "roof": key}
    assert ring.public_key("roof") == key.encode()
    with pytest.raises(SensorfuseError, match="known as 'roof' already"):
        ring.allow("cellar", key)
    ring.forget("roof")
    with pytest.raises(SensorfuseError, match="no host is known as 'roof'"):
        ring.forget("roof")
    with pytest.raises(SensorfuseError, match="the key of the host 'roof' is not known here"):
        ring.public_key("roof")


@pytest.mark.parametrize("key", ["", "x" * 39, "x" * 41, '"' * 40, "~" * 40, "ä" * 40])
def test_what_is_no_key_is_refused(ring: KeyRing, key: str) -> None:
    with pytest.raises(SensorfuseError, match="no public key"):
        ring.allow("roof", key)


@pytest.mark.parametrize("name", ["", "../roof", "Roof", "a/b", "-x", "x" * 64])
def test_a_name_is_no_path(ring: KeyRing, name: str) -> None:
    with pytest.raises(SensorfuseError, match="no name of a host"):
        ring.make(name)


def test_open_or_foreign_files_are_refused(ring: KeyRing, tmp_path: Path) -> None:
    ring.make("brain")
    file = ring.folder / "own.key"
    file.chmod(0o640)
    with pytest.raises(SensorfuseError, match=r"mode 640.*chmod 600"):
        ring.own()
    file.chmod(0o600)
    ring.folder.chmod(0o755)
    with pytest.raises(SensorfuseError, match=r"mode 755.*chmod 700"):
        ring.own()
    ring.folder.chmod(0o700)
    (tmp_path / "moved").write_text(file.read_text())
    (tmp_path / "moved").chmod(0o600)
    file.unlink()
    file.symlink_to(tmp_path / "moved")
    with pytest.raises(SensorfuseError, match="is a link"):
        ring.own()


def test_a_damaged_pair_is_said_so(ring: KeyRing) -> None:
    ring.make("brain")
    file = ring.folder / "own.key"
    text = file.read_text().splitlines()
    file.write_text("\n".join([text[0], text[1], f"secret {zmq.curve_keypair()[1].decode()}"]))
    with pytest.raises(SensorfuseError, match="damaged"):
        ring.own()
    file.unlink()
    with pytest.raises(SensorfuseError, match="sensorfuse keys make"):
        ring.own()


def test_another_key_is_not_known_under_this_hosts_own_name(ring: KeyRing) -> None:
    own, other = ring.make("brain"), zmq.curve_keypair()[0].decode()
    with pytest.raises(SensorfuseError, match="'brain' is what this host's own key is called"):
        ring.allow("brain", other)
    assert ring.known() == {"brain": own}
    ring.allow("brain", own)
    ring.allow("roof", other)
    assert ring.known() == {"brain": own, "roof": other}

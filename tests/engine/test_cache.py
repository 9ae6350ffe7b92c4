"""The cache of engines: keyed, private, whole or absent, bounded."""

import dataclasses
import errno
import json
import os
from pathlib import Path

import pytest

from sensorfuse.engine.cache import (
    CacheKey,
    EngineCache,
    NoSpaceError,
    cache_folder,
    private_folder,
    read_private,
    write_private,
)
from sensorfuse.errors import SensorfuseError

KEY = CacheKey("ab" * 32, "fp16", "tensorrt_rtx", "1.7", "8.9", "batch=1,1,4")


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


def test_gives_back_what_was_put(cache: EngineCache) -> None:
    assert cache.get(KEY) is None
    path = cache.put(KEY, b"payload", "radar", build_s=1.5)
    assert cache.get(KEY) == b"payload"
    (entry,) = cache.entries()
    assert (entry.key, entry.label, entry.size, entry.path) == (KEY, "radar", 7, path)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(CacheKey)])
def test_every_field_of_the_key_counts(cache: EngineCache, field: str) -> None:
    cache.put(KEY, b"payload")
    other = dataclasses.replace(KEY, **{field: "another"})
    assert other.name != KEY.name
    assert cache.get(other) is None


def test_only_its_user_can_read_it(cache: EngineCache) -> None:
    path = cache.put(KEY, b"payload")
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in (path, path.with_suffix(".json"))} == {0o600}


@pytest.mark.parametrize("part", ["engine", "json", "folder"])
def test_what_others_may_write_is_not_loaded(cache: EngineCache, part: str) -> None:
    path = cache.put(KEY, b"payload")
    (cache.folder if part == "folder" else path.with_suffix(f".{part}")).chmod(0o770)
    assert cache.get(KEY) is None
    cache.put(KEY, b"anew")  # closes it again
    assert cache.get(KEY) == b"anew"


def test_what_another_user_wrote_is_not_loaded(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.put(KEY, b"payload")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert cache.get(KEY) is None
    assert cache.entries() == []
    with pytest.raises(SensorfuseError, match="folder of this user's own"):
        cache.put(KEY, b"payload")


def test_links_are_not_followed(cache: EngineCache, tmp_path: Path) -> None:
    path = cache.put(KEY, b"payload")
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert read_private(elsewhere) == b"payload"
    assert cache.get(KEY) is None


@pytest.mark.parametrize("damage", ["flip", "cut", "record", "gone", "swapped"])
def test_a_damaged_entry_is_as_good_as_absent(cache: EngineCache, damage: str) -> None:
    path = cache.put(KEY, b"payload" * 10)
    content = path.read_bytes()
    if damage == "flip":
        path.write_bytes(content[:5] + b"X" + content[6:])
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "record":
        path.with_suffix(".json").write_text("{")
    elif damage == "gone":
        path.with_suffix(".json").unlink()
    else:  # another engine's file under this one's name, with its own whole record
        other = cache.put(dataclasses.replace(KEY, architecture="7.5"), b"other")
        os.replace(other, path)
        os.replace(other.with_suffix(".json"), path.with_suffix(".json"))
    assert cache.get(KEY) is None


def test_the_longest_unused_go_first(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "engines", limit_bytes=250)
    keys = [dataclasses.replace(KEY, model=str(n)) for n in range(3)]
    for n, key in enumerate(keys[:2]):
        path = cache.put(key, bytes(100))
        os.utime(path, (n, n))
    assert cache.get(keys[0]) is not None  # used: now the second is the longest unused
    cache.put(keys[2], bytes(100))
    assert [cache.get(k) is not None for k in keys] == [True, False, True]
    cache.put(keys[1], bytes(1000))  # larger than the limit: kept nevertheless, alone
    assert [e.key for e in cache.entries()] == [keys[1]]


def test_clearing_and_stale_entries(cache: EngineCache) -> None:
    old = dataclasses.replace(KEY, version="1.6")
    gone = dataclasses.replace(KEY, backend="tensorrt")
    for key in (KEY, old, gone):
        cache.put(key, b"payload")
    stale = cache.stale({"tensorrt_rtx": "1.7"})
    assert {e.key for e in stale} == {old, gone}
    assert cache.clear(stale) > 2 * len(b"payload")
    assert [e.key for e in cache.entries()] == [KEY]
    (cache.folder / ".new-left").write_bytes(b"x" * 9)  # of a crash while it was written
    assert cache.clear() > 9
    assert list(cache.folder.iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.put(KEY, b"before")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSpaceError, match=r"no disk space left.*XDG_CACHE_HOME"):
        cache.put(KEY, b"after")
    assert cache.get(KEY) == b"before"  # the old one stays
    assert not list(cache.folder.glob(".new-*"))


def test_an_entry_without_its_record_is_not_left_behind(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.replace, []

    def second_fails(source: str, target: Path) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(NoSpaceError):
        cache.put(KEY, b"payload")
    assert list(cache.folder.iterdir()) == []


def test_unwritable_places_are_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SensorfuseError, match="XDG_CACHE_HOME"):
        EngineCache(tmp_path / "file" / "engines").put(KEY, b"payload")
    with pytest.raises(SensorfuseError, match="cannot be written"):
        write_private(tmp_path / "absent" / "file", b"")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(SensorfuseError, match="folder of this user's own"):
        private_folder(tmp_path / "link")


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert EngineCache().folder == tmp_path / "sensorfuse" / "engines"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    with pytest.raises(SensorfuseError, match="absolute"):
        cache_folder("engines")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("networks") == tmp_path / ".cache" / "sensorfuse" / "networks"


def test_a_record_of_another_shape_is_passed_over(cache: EngineCache) -> None:
    cache.put(KEY, b"payload")
    write_private(cache.folder / "odd.json", json.dumps(["list"]).encode())
    write_private(cache.folder / "bare.json", json.dumps({"key": {}}).encode())
    assert [e.key for e in cache.entries()] == [KEY]

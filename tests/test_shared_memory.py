"""Payloads in shared memory: what is read is what was sent, whoever is slow, dies or lies."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensorfuse import shared_memory as sm
from sensorfuse.errors import SensorfuseError
from sensorfuse.messages import Sample
from sensorfuse.shared_memory import SharedReader, SharedWriter, is_supported, shared_folder, sweep
from sensorfuse.wire import Envelope, WireError, decode_data, encode_data, pack, unpack

pytestmark = pytest.mark.skipif(not is_supported(), reason="this system has no shared memory as files")

SHAPE = (400, 300, 3)


@pytest.fixture(autouse=True)
def _small_payloads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sm, "LEAST_BYTES", 100_000)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=sm.ROOT, prefix="sensorfuse-test-") as made:
        yield Path(made)


def picture(k: int) -> np.ndarray:
    return np.random.default_rng(k).integers(0, 256, SHAPE, dtype=np.uint8)


def message(k: int, shared: SharedWriter | None, stream: str = "camera") -> list[Any]:
    """One message as it arrives: every part is bytes."""
    envelope = Envelope(stream, "camera", k, 1, k, k, k, "camera_optical_frame", "mid", "", {})
    return [bytes(p) for p in encode_data(envelope, {"image": picture(k), "few": np.arange(k, k + 3)}, shared)]


def read(frames: list[Any], reader: SharedReader) -> Sample:
    return decode_data([memoryview(f) for f in frames], reader)[1]


def is_shared(frames: list[Any]) -> bool:
    return len(frames[2]) == 0


def test_payloads_move_to_shared_memory_once_every_subscriber_reads_there(folder: Path) -> None:
    subscribers = 2
    writer = SharedWriter(folder, "camera", lambda: subscribers)
    readers = [SharedReader(folder), SharedReader(folder)]
    first = message(0, writer)
    assert not is_shared(first)
    read(first, readers[0])
    assert not is_shared(message(1, writer)), "the second one has not mapped the ring yet"
    read(first, readers[1])
    for k in range(2, 40):
        frames = message(k, writer)
        assert is_shared(frames)
        for reader in readers:
            arrays = read(frames, reader).arrays
            np.testing.assert_array_equal(arrays["image"], picture(k))
            np.testing.assert_array_equal(arrays["few"], np.arange(k, k + 3))
            assert not arrays["image"].flags.writeable
    subscribers = 3
    assert not is_shared(message(40, writer)), "somebody came who does not read there"


def test_what_a_slow_reader_holds_never_changes(folder: Path) -> None:
    writer, fast, slow = SharedWriter(folder, "camera", lambda: 2), SharedReader(folder), SharedReader(folder)
    for reader in (fast, slow):
        read(message(0, writer), reader)
    held = {}
    shared = 0
    for k in range(1, 60):
        frames = message(k, writer)
        shared += is_shared(frames)
        read(frames, fast)
        if k % 3 == 0:
            held[k] = read(frames, slow).arrays["image"]
    assert shared == 59, "copies are made of what is held beyond two, so that slots stay free"
    for k, image in held.items():
        np.testing.assert_array_equal(image, picture(k))


def test_a_reader_that_does_not_read_costs_slots_and_then_nothing_is_shared_or_lost(folder: Path) -> None:
    writer, fast, asleep = SharedWriter(folder, "camera", lambda: 2), SharedReader(folder), SharedReader(folder)
    for reader in (fast, asleep):
        read(message(0, writer), reader)
    sent = [message(k, writer) for k in range(1, 30)]
    assert [is_shared(f) for f in sent] == [True] * sm.SLOTS + [False] * (29 - sm.SLOTS)
    for k, frames in enumerate(sent, 1):
        np.testing.assert_array_equal(read(frames, asleep).arrays["image"], picture(k))
        read(frames, fast)
    assert is_shared(message(30, writer))


def test_payloads_that_grow_get_a_larger_ring(folder: Path) -> None:
    writer, reader = SharedWriter(folder, "camera", lambda: 1), SharedReader(folder)
    envelope = Envelope("camera", "camera", 0, 1, 0, 0, 0, "f", "mid", "", {})
    for n in (200_000, 900_000, 300_000):
        array = np.full(n, n % 251, np.uint8)
        for _ in range(2):
            frames = [memoryview(bytes(p)) for p in encode_data(envelope, {"image": array}, writer)]
            np.testing.assert_array_equal(decode_data(frames, reader)[1].arrays["image"], array)
        assert is_shared(frames)
    assert len(list(folder.glob("*.ring"))) == 1


def test_a_publisher_that_stops_leaves_nothing_and_what_was_read_stays(folder: Path) -> None:
    writer, reader = SharedWriter(folder, "camera", lambda: 1), SharedReader(folder)
    read(message(0, writer), reader)
    kept = read(message(1, writer), reader)
    writer.close()
    assert list(folder.iterdir()) == []
    np.testing.assert_array_equal(kept.arrays["image"], picture(1))


CHILD = """
import sys, time
from pathlib import Path
import numpy as np
from sensorfuse import shared_memory as sm
from sensorfuse.wire import Envelope, decode_data, encode_data
sm.LEAST_BYTES = 100_000
folder, role = Path(sys.argv[1]), sys.argv[2]
envelope = Envelope("camera", "camera", 0, 1, 0, 0, 0, "f", "mid", "", {})
if role == "reader":
    reader = sm.SharedReader(folder)
    reader.join(sys.argv[3])
else:
    writer = sm.SharedWriter(folder, "camera", lambda: 0)
    encode_data(envelope, {"image": np.zeros(200_000, np.uint8)}, writer)
print("there", flush=True)
time.sleep(60)
"""


def child(*arguments: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"there\n"
    return process


def test_a_reader_that_is_killed_holds_up_nobody(folder: Path) -> None:
    writer, reader = SharedWriter(folder, "camera", lambda: 1), SharedReader(folder)
    read(message(0, writer), reader)
    ring = next(folder.glob("*.ring")).stem
    other = child(str(folder), "reader", ring)
    sent = [message(k, writer) for k in range(1, 12)]
    for frames in sent:
        read(frames, reader)
    assert not is_shared(sent[-1]), "while it lives and does not read, its slots are kept"
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert is_shared(message(12, writer))


def test_what_a_killed_publisher_left_is_swept_and_what_a_living_one_uses_is_not(folder: Path) -> None:
    process = child(str(folder), "writer")
    assert sweep(folder) == 0
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    alive = SharedWriter(folder, "lidar", lambda: 0)
    message(0, alive, "lidar")
    assert len(list(folder.glob("*.ring"))) == 2
    SharedWriter(folder, "camera", lambda: 0)
    assert [p.name.partition("-")[0] for p in folder.glob("*.ring")] == ["lidar"], "its successor sweeps"
    assert sweep(folder) == 0


def changed(frames: list[Any], **fields: Any) -> list[Any]:
    """The message with fields of its place replaced."""
    header = unpack(frames[1])
    names = [f.name for f in dataclasses.fields(sm.Place)]
    header["shared"] = [fields.get(n, v) for n, v in zip(names, header["shared"], strict=True)]
    return [frames[0], pack(header), *frames[2:]]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"slot": 99}, "written anew"),
        ({"slot": -1}, "written anew"),
        ({"generation": 1 << 40}, "written anew"),
        ({"spans": [[0, 1 << 40], None]}, "outside its slot"),
        ({"spans": [[-64, 360_000], None]}, "outside its slot"),
        ({"spans": [[0, 100], None]}, "needs 360000 bytes, got 100"),
        ({"spans": [[0, 360_000]]}, "1 spans"),
        ({"readers": 0}, "did not know"),
        ({"ring": "lidar-0123456789abcdef"}, "no ring of the stream"),
        ({"ring": "camera-0123456789abcdef"}, "No such file"),
        ({"ring": "camera-../../etc/passwd"}, "no name of a ring"),
        ({"ring": 7}, "expected str"),
    ],
)
def test_a_place_that_does_not_fit_is_refused(folder: Path, fields: dict[str, Any], text: str) -> None:
    writer, reader = SharedWriter(folder, "camera", lambda: 1), SharedReader(folder)
    read(message(0, writer), reader)
    good = message(1, writer)
    with pytest.raises(WireError, match=text):
        read(changed(good, **fields), reader)
    np.testing.assert_array_equal(read(good, reader).arrays["image"], picture(1))


def test_who_does_not_read_shared_memory_refuses_what_lies_there(folder: Path) -> None:
    writer, reader = SharedWriter(folder, "camera", lambda: 1), SharedReader(folder)
    read(message(0, writer), reader)
    with pytest.raises(WireError, match="does not read"):
        decode_data([memoryview(f) for f in message(1, writer)])


def test_no_room_in_shared_memory_means_no_shared_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    frames = message(0, SharedWriter(folder, "camera", lambda: 1))
    assert not is_shared(frames)
    assert list(folder.iterdir()) == []


def test_the_folder_must_be_this_users_alone(tmp_path: Path) -> None:
    made = shared_folder(tmp_path, root=tmp_path)
    assert made.stat().st_mode & 0o777 == 0o700
    assert shared_folder(tmp_path, root=tmp_path) == made
    made.chmod(0o755)
    with pytest.raises(SensorfuseError, match="chmod 700"):
        shared_folder(tmp_path, root=tmp_path)


def test_nothing_is_left_open(folder: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        writer, reader = SharedWriter(folder, "camera", lambda: 1), SharedReader(folder)
        for k in range(3):
            read(message(k, writer), reader)
        reader.close()
        writer.close()
    del writer, reader
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # maps go with the last array

"""Shared fixtures: where the real recordings are, and the shipped synthetic rig."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from sensorfuse.rig import Rig, parse_rig, shipped_rig

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real recordings; skips where it is absent."""
    folder = Path(os.environ.get("SENSORFUSE_DATA", DEFAULT_DATA))
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}; set SENSORFUSE_DATA")
    return folder


@pytest.fixture
def free_port() -> int:
    """A port for a rig's first tcp endpoint, with room for the others after it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(min(probe.getsockname()[1], 64000))


@pytest.fixture(scope="session")
def synthetic_rig() -> Rig:
    return shipped_rig("synthetic")


@pytest.fixture(scope="session")
def small_rig() -> Rig:
    """All five modalities, small enough for two busy cores."""
    text = shipped_rig("synthetic").to_yaml()
    text = (
        text.replace("width: 480", "width: 240").replace("height: 270", "height: 136").replace("fx: 260.0", "fx: 130.0")
    )
    text = text.replace("fy: 260.0", "fy: 130.0").replace("cx: 239.5", "cx: 119.5").replace("cy: 134.5", "cy: 67.5")
    text = text.replace("rate_hz: 20.0\n    frame: camera", "rate_hz: 10.0\n    frame: camera").replace(
        "columns: 512", "columns: 256"
    )
    rig = parse_rig(text)
    assert rig.sensors["camera"].intrinsics is not None
    assert rig.sensors["camera"].intrinsics.width == 240
    return rig

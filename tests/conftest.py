"""Shared fixtures: where the real recordings are, and the shipped synthetic rig."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sensorfuse.rig import Rig, shipped_rig

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real recordings; skips where it is absent."""
    folder = Path(os.environ.get("SENSORFUSE_DATA", DEFAULT_DATA))
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}; set SENSORFUSE_DATA")
    return folder


@pytest.fixture(scope="session")
def synthetic_rig() -> Rig:
    return shipped_rig("synthetic")

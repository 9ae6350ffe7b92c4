"""What is installed: every package of the project, under its one name."""

from __future__ import annotations

from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="Python 3.11 and later read TOML")
ROOT = Path(__file__).resolve().parents[1]


def test_every_package_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = project["tool"]["setuptools"]["packages"]
    found = []
    for top in ("sensorfuse", "calib", "deploy", "nodes"):
        for marker in (ROOT / top).rglob("__init__.py"):
            name = ".".join(marker.parent.relative_to(ROOT).parts)
            found.append(name if top == "sensorfuse" else f"sensorfuse.{name}")
    assert sorted(found) == listed

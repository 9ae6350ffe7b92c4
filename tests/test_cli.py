"""The command line as a user meets it: help with examples, clear errors, never a stack trace."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from sensorfuse.cli import app

COMMANDS = ["run", "replay", "record", "info", "convert", "sim", "sync", "demo", "doctor", "bench"]


def sensorfuse(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "sensorfuse.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        env=environment,
    )


def refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode == 2, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr, f"{word!r} not in {result.stderr!r}"


def commands(group: Any, path: str = "sensorfuse") -> Iterator[tuple[str, Any]]:
    """Every command with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def test_help_lists_every_command_and_each_has_an_example() -> None:
    every = dict(commands(typer.main.get_command(app)))
    assert {f"sensorfuse {name}" for name in COMMANDS} <= {" ".join(words.split()[:2]) for words in every}
    listing = sensorfuse("--help").stdout
    for words, command in every.items():
        assert words.split()[1] in listing
        assert f"Example: {words}" in command.help, words
    assert "Example: sensorfuse bench guard" in sensorfuse("bench", "guard", "--help").stdout


def test_version_and_doctor() -> None:
    assert sensorfuse("--version").stdout.startswith("sensorfuse 0.")
    result = sensorfuse("doctor")
    assert result.returncode == 0
    assert "onnxruntime" in result.stdout


def test_a_workspace_with_folders_of_the_same_names(tmp_path: Path) -> None:
    for name in ("nodes", "deploy", "calib", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the wrong package')")
    assert sensorfuse("doctor", cwd=tmp_path).returncode == 0
    done = subprocess.run(
        [sys.executable, "-m", "sensorfuse.nodes.camera", "--help"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["info", "replay"])
def test_logs_that_are_none(tmp_path: Path, command: str) -> None:
    (tmp_path / "empty.mcap").touch()
    (tmp_path / "notes.txt").write_text("no log")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "readme.md").write_text("x")
    (tmp_path / "broken.mcap").write_bytes(b"\x89MCAP0\r\n" + os.urandom(3000))
    (tmp_path / "broken.bag").write_bytes(b"#ROSBAG V2.0\n" + os.urandom(3000))
    for name in ("empty.mcap", "notes.txt", "folder", "broken.mcap", "broken.bag", "absent.mcap"):
        extra = ["--rig", "synthetic", "--out", str(tmp_path / "out")] if command == "replay" else []
        result = sensorfuse(command, str(tmp_path / name), *extra)
        if (command, name) == ("info", "broken.mcap"):  # a recording that was killed at once: said, not refused
            assert "0 whole chunks" in result.stdout
            continue
        refused(result, name)


def test_bad_options(tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "out")]
    refused(sensorfuse("run", "nonesuch", *out), "nonesuch", "synthetic")
    refused(sensorfuse("run", "synthetic", "--strategy", "magic", *out), "magic", "late")
    refused(sensorfuse("run", "synthetic", "--scenario", "moon", *out), "no scenario is called 'moon'", "town_rain")
    (tmp_path / "rig.yaml").write_text("name: x\nsensors:\n  cam:\n    modalty: camera\n")
    refused(sensorfuse("run", str(tmp_path / "rig.yaml"), *out), "rig.yaml:4", "modalty", "unknown key")
    (tmp_path / "file").touch()
    refused(sensorfuse("run", "synthetic", "--out", str(tmp_path / "file" / "out")), "--out")


def test_rig_that_names_a_stream_the_log_lacks(data_dir: Path, tmp_path: Path) -> None:
    result = sensorfuse("replay", str(data_dir / "euroc"), "--rig", "radiate", "--out", str(tmp_path))
    refused(result, "lacks", "it has")


def test_bad_rate(data_dir: Path, tmp_path: Path) -> None:
    refused(
        sensorfuse("replay", str(data_dir / "euroc"), "--rig", "euroc", "--rate", "fast", "--out", str(tmp_path)),
        "--rate",
        "max",
    )


def test_a_synthetic_log_and_what_is_refused(tmp_path: Path) -> None:
    target = str(tmp_path / "sim.mcap")
    done = sensorfuse("sim", "highway", "--duration", "0.3", "--out", target)
    assert done.returncode == 0, done.stderr
    assert '"lidar"' in done.stdout
    assert "lidar" in sensorfuse("info", target).stdout
    refused(sensorfuse("sim", "--out", target), "exists; pass --force")
    refused(sensorfuse("sim", "moon", "--out", target, "--force"), "no scenario is called 'moon'", "town_rain")
    refused(sensorfuse("sim", "--duration", "-1", "--out", target, "--force"), "--duration -1: expected more than 0")
    refused(sensorfuse("run", "kitti"), "no `sim` block", "sensorfuse replay LOG --rig kitti")


def test_a_data_set_is_made_and_goes_on(tmp_path: Path) -> None:
    folder = str(tmp_path / "worlds")
    done = sensorfuse("dataset", "town", "--worlds", "2", "--duration", "0.2", "--jobs", "2", "--out", folder)
    assert "2 logs" in done.stdout, done.stderr
    done = sensorfuse("dataset", "town", "--worlds", "3", "--duration", "0.2", "--out", folder)
    assert "3 logs" in done.stdout, done.stderr
    refused(sensorfuse("dataset", "town", "--duration", "9", "--out", folder), "another duration_s", "another folder")


def test_a_contact_sheet_is_drawn(tmp_path: Path) -> None:
    picture = tmp_path / "sheet.png"
    done = sensorfuse("sheet", "town_fog", "--at", "1", "--out", str(picture))
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    refused(sensorfuse("sheet", "--out", str(tmp_path / "sheet.gif")), "expected a file that ends in .png or .jpg")

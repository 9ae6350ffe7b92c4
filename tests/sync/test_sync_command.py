"""`sensorfuse sync` as a user meets it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sensorfuse.cli import main
from sensorfuse.rig import load_rig


def sync(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The command's exit code."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["sensorfuse", "sync", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_words_page_figures_and_rig(
    simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page, figures, rig = tmp_path / "out" / "sync.html", tmp_path / "sync.json", tmp_path / "rig.yaml"
    options = ["--no-content", "--out", str(page.parent), "--json", str(figures), "--write", str(rig)]
    assert sync(monkeypatch, str(simulated), *options) == 0
    said = capsys.readouterr().out
    words = " ".join(said.split())
    assert "clock jumped once: -0." in words
    assert "ppm slow against the host" in words
    assert "Complete ticks against waiting time" in words
    found = json.loads(figures.read_text())
    deadline_ms = found["settings"]["fusion"]["deadline_ms"]
    assert f"deadline_ms: {deadline_ms}" in said
    assert load_rig(rig).fusion.deadline_ms == deadline_ms
    text = page.read_text()
    assert text.count("<picture") == 3  # drift, delay, completeness
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "clock jumped once" in text
    for stream in ("imu", "second"):
        assert f'<th scope="row">{stream}</th>' in text


def test_what_is_refused(
    simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rig.yaml").touch()
    for options, words in (
        ([str(simulated), "--write", str(tmp_path / "rig.yaml")], "exists; pass --force"),
        ([str(simulated), "--rig", "euroc"], "the rig 'euroc' names cam0, imu0, none of which is in this log"),
    ):
        assert sync(monkeypatch, *options) == 2
        assert words in capsys.readouterr().err

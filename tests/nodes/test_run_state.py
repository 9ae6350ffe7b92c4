"""Which processes of a run are still there, whatever became of the system's clock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from sensorfuse.nodes import run_state
from sensorfuse.nodes.run_state import start_mark


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")
def test_a_clock_that_is_set_changes_nothing_of_when_a_process_began(monkeypatch: pytest.MonkeyPatch) -> None:
    before = start_mark(os.getpid())
    real = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: real(self) + 3600.0)
    assert start_mark(os.getpid()) == before is not None


def test_where_there_is_no_proc_the_time_of_day_tells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(run_state, "PROC", tmp_path)
    assert start_mark(os.getpid()) == psutil.Process().create_time()


def test_a_name_with_brackets_and_blanks_is_no_field(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(run_state, "PROC", tmp_path)
    folder = tmp_path / str(os.getpid())
    folder.mkdir()
    fields = " ".join(str(n) for n in range(4, 53))
    (folder / "stat").write_text(f"{os.getpid()} (a ) b (c)) S {fields}\n")
    assert start_mark(os.getpid()) == 22


def test_processes_are_told_apart_by_when_they_began() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        mark = start_mark(child.pid)
        assert mark is not None
        assert mark == start_mark(child.pid)
    finally:
        child.communicate(b"\n")
    assert start_mark(child.pid) is None

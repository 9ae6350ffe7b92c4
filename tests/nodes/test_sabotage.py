"""Faults of processes that are gone by the time they are to suffer them: told, and the run goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sensorfuse.nodes import process, sabotage
from sensorfuse.nodes.nursery import ChildHandle
from sensorfuse.nodes.process import is_running
from sensorfuse.nodes.sabotage import Saboteur

from sensorfuse.inject.fault import parse_fault


def gone() -> int:
    """The number of a process that is no more."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.fixture
def crew(tmp_path: Path) -> Any:
    """One process that seems to be alive and is not."""
    child = SimpleNamespace(
        handle=SimpleNamespace(pid=gone(), alive=lambda: True), alive=lambda: True, ready=True,
        restarts=SimpleNamespace(due_s=0.0),
    )  # fmt: skip
    return SimpleNamespace(children={"lidar": child, "recorder": child}, plan=SimpleNamespace(out=tmp_path))


@pytest.mark.parametrize("text", ["lidar:stop@1+1", "recorder:disk_full@1+1"])
def test_who_dies_just_before_its_fault_was_not_there(crew: Any, text: str) -> None:
    events: list[str] = []
    saboteur = Saboteur([parse_fault(text)], crew, lambda name, what: events.append(f"{name}: {what}"))
    saboteur.act(1.0, 1.0)
    saboteur.act(2.0, 2.0)
    saboteur.close()
    assert events == [f"{text.partition(':')[0]}: was not there to suffer {text}"]


def test_who_dies_while_it_is_stopped_is_not_let_go_on(crew: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    saboteur = Saboteur([parse_fault("lidar:stop@1+1")], crew, lambda name, what: events.append(what))
    with monkeypatch.context() as before:
        before.setattr(sabotage.os, "kill", lambda pid, number: None)
        saboteur.act(1.0, 1.0)
    saboteur.act(2.0, 2.0)
    assert events == ["stopped on purpose"]


def test_a_number_that_is_another_users_process_by_now_is_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_running(os.getpid())
    assert not is_running(gone())

    def not_ours(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(process.os, "kill", not_ours)
    assert not is_running(os.getpid())
    handle = ChildHandle(os.getpid())
    handle.close()
    assert not handle.alive()

"""The guided fuzzer's process: watched while it runs, and nothing of it is left. A small stand-in takes atheris' place,
which instruments all code first.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from sensorfuse.fuzz.guided import fuzz_guided
from sensorfuse.fuzz.table import find_target

STAND_IN = """
import contextlib, os
from pathlib import Path

def instrument_imports(include):
    return contextlib.nullcontext()

def Setup(arguments, run):
    global todo
    todo = run, sorted(Path(arguments[-1]).iterdir())

def Fuzz():
    run, corpus = todo
    for number, file in enumerate(corpus, 1):
        run(file.read_bytes())
        print(f"#{number}\\tNEW cov: 7", flush=True)
    print(f"Done {len(corpus)} runs in 1 second(s)", flush=True)
    os._exit(0)
"""


def test_a_run_says_how_far_it_is_and_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch, modules = tmp_path / "scratch", tmp_path / "modules"
    scratch.mkdir()
    modules.mkdir()
    (modules / "atheris.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(str(modules))
    monkeypatch.setenv("PYTHONPATH", str(modules))
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr(tempfile, "tempdir", None)
    seen: list[int] = []
    result = fuzz_guided(find_target("wire_meta"), 40, 1, tmp_path / "found", seen.append)
    assert result.findings == []
    assert seen[:2] == [1, 2], "told while it runs"
    assert seen[-1] == result.executions == len(seen) - 1, "and at the end"
    assert list(scratch.iterdir()) == []

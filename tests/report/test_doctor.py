"""The doctor tells what is there and what to do about what is not."""

from __future__ import annotations

import io
import socket
from typing import get_args

import pytest
from rich.console import Console

from sensorfuse.engine.engine import Backend
from sensorfuse.fusion.strategies import ready_strategies
from sensorfuse.report import doctor


def rows() -> dict[str, dict]:
    return {row["what"]: row for row in doctor.examine()["findings"]}


def test_findings_cover_engines_strategies_and_sockets() -> None:
    found = rows()
    assert found["engine onnxruntime-cpu"]["found"].startswith("usable")
    assert "onnxruntime-cpu" in found["engine auto"]["found"]
    for backend in get_args(Backend):
        row = found[f"engine {backend}"]
        assert row["found"].startswith("usable") != bool(row["advice"]), "what is missing is told, and only then"
    assert all(name in found["strategies"]["found"] for name in ready_strategies())
    assert found["numpy"]["ok"]


def test_missing_package_is_a_finding_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("numpy", "no-such-package"))
    findings = doctor.examine()
    assert findings["ok"] is False
    out = io.StringIO()
    doctor.print_findings(findings, Console(file=out, width=160))
    assert "no-such-package" in out.getvalue()
    assert "reinstall" in out.getvalue()


def test_port_in_use_is_told() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for port in range(doctor.FIRST_PORT, doctor.LAST_PORT + 1):
            try:
                taken.bind(("127.0.0.1", port))
                break
            except OSError:
                continue
        taken.listen()
        row = rows()["tcp ports"]
        assert str(taken.getsockname()[1]) in row["found"]
        assert "endpoints.port" in row["advice"]


def test_no_gpu_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    assert doctor.gpu_names() == []
    assert rows()["GPU"]["ok"]

"""What this machine offers: versions, engines, GPUs, sockets, and what to do about each lack."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sensorfuse import __version__

PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "pyzmq",
    "msgpack",
    "onnxruntime-gpu",
    "onnxruntime",
    "mcap",
    "rosbags",
    "av",
    "opencv-python-headless",
)
EXTRAS = {"torch": "train", "onnx": "train", "tensorrt": "tensorrt", "tensorrt_rtx": "rtx"}
SUREST = "onnxruntime-cpu"
"""The engine without which nothing runs; the others are for speed."""
FIRST_PORT, LAST_PORT = 7600, 7631


def examine() -> dict[str, Any]:
    """Findings as plain values: each row is (what, found, ok, advice)."""
    rows: list[tuple[str, str, bool, str]] = [
        ("sensorfuse", __version__, True, ""),
        ("python", platform.python_version(), sys.version_info[:2] >= (3, 10), "Python 3.10 to 3.13 is supported"),
        ("machine", f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores", True, ""),
    ]
    rows += [_package(name) for name in PACKAGES if not (name == "onnxruntime" and _version("onnxruntime-gpu"))]
    for name, extra in EXTRAS.items():
        version = _version(name.replace("_", "-")) or _version(name)
        rows.append(
            (name, version or "not installed", True, "" if version else f"optional: pip install 'sensorfuse[{extra}]'")
        )
    rows += [_gpu(), *_engines(), _sockets(), _ports(), _disk()]
    return {
        "ok": all(ok for _, _, ok, _ in rows),
        "findings": [dict(zip(("what", "found", "ok", "advice"), r, strict=True)) for r in rows],
    }


def print_findings(findings: dict[str, Any], console: Console) -> None:
    table = Table(show_header=True)
    for name in ("", "what", "found", "advice"):
        table.add_column(name)
    for row in findings["findings"]:
        table.add_row("[green]ok[/]" if row["ok"] else "[red]no[/]", row["what"], row["found"], row["advice"])
    console.print(table)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _package(name: str) -> tuple[str, str, bool, str]:
    version = _version(name)
    if version is None and name == "onnxruntime-gpu" and _version("onnxruntime"):
        return (name, "onnxruntime (CPU build) instead", True, "")
    return (name, version or "not installed", version is not None, "" if version else "reinstall sensorfuse")


def gpu_names() -> list[str]:
    """Names of the NVIDIA GPUs that answer; empty without a driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        answer = subprocess.run(
            [tool, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()] if answer.returncode == 0 else []


def _gpu() -> tuple[str, str, bool, str]:
    gpus = gpu_names()
    return ("GPU", ", ".join(gpus) or "none answers", True, "" if gpus else "engines run on the CPU")


def _engines() -> list[tuple[str, str, bool, str]]:
    from sensorfuse.engine.open import available_backends, levels
    from sensorfuse.fusion.strategies import ready_strategies

    rows = []
    for state in available_backends():
        found = f"usable, {state.version}" if state.usable else "not usable"
        rows.append((f"engine {state.backend}", found, state.usable or state.backend != SUREST, state.missing))
    order = ", then ".join(backend for backend, _ in levels("auto", "fp32"))
    strategies = ready_strategies()
    return [
        *rows,
        ("engine auto", order, True, ""),
        ("strategies", ", ".join(strategies), bool(strategies), ""),
    ]


def _sockets() -> tuple[str, str, bool, str]:
    folder = Path(tempfile.gettempdir())
    fits = len(str(folder)) < 60 and os.access(folder, os.W_OK)
    return ("ipc sockets", str(folder), fits, "" if fits else "set SENSORFUSE_RUN_DIR to a short writable folder")


def _ports() -> tuple[str, str, bool, str]:
    taken = []
    for port in range(FIRST_PORT, LAST_PORT + 1):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                taken.append(str(port))
    text = f"{FIRST_PORT}-{LAST_PORT} free" if not taken else f"in use: {', '.join(taken)}"
    return ("tcp ports", text, True, "set `endpoints.port` in the rig if you use tcp" if taken else "")


def _disk() -> tuple[str, str, bool, str]:
    free = shutil.disk_usage(".").free / 1e9
    return ("disk", f"{free:.1f} GB free here", free > 1, "" if free > 1 else "recording needs space")

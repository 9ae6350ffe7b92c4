"""The same targets under coverage guidance: `atheris` (extra `fuzz`) drives libFuzzer, which keeps inputs that reach
new code. It takes a process of its own, which this module is when it is run.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from sensorfuse.errors import SensorfuseError
from sensorfuse.fuzz.campaign import Finding, Result
from sensorfuse.fuzz.target import Target

HANG_S = 60  # of the clock, where the machine may be busy
MEMORY_MB = 2048
MAX_INPUT_BYTES = 1 << 15
_COUNT = re.compile(r"^#(\d+)\s|Done (\d+) runs|stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)


def fuzz_guided(
    target: Target, runs: int, seed: int, keep: Path, progress: Callable[[int], None] | None = None
) -> Result:
    """Run a target until it has had `runs` inputs or shown a fault; its input goes into the folder `keep`.

    Args:
        progress: told how many inputs there were, as often as libFuzzer says so.

    Raises:
        SensorfuseError: atheris is not installed.
    """
    if importlib.util.find_spec("atheris") is None:
        raise SensorfuseError("--guided needs atheris: `pip install sensorfuse[fuzz]` (Linux)")
    keep.mkdir(parents=True, exist_ok=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory(prefix="sensorfuse-fuzz-") as scratch:  # the process ends without clearing up
        command = [sys.executable, "-m", __name__, target.name, str(runs), str(seed), str(keep), scratch]
        returncode, said = _watched(command, progress)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    counts = [int(next(filter(None, groups))) for groups in _COUNT.findall(said)]
    result = Result(target.name, max(counts, default=0), after.ru_utime - before.ru_utime)
    if returncode != 0:
        saved = re.search(r"Test unit written to (\S+)", said)
        error = re.search(r"^(\w+(?:Error|Exception|Interrupt)?: .*)$", said, re.MULTILINE)
        text = error.group(1) if error else said.strip().splitlines()[-1] if said.strip() else "no word"
        result.findings.append(Finding(target.name, "crash", text[:300], "?", saved.group(1) if saved else ""))
    return result


def _watched(command: list[str], progress: Callable[[int], None] | None) -> tuple[int, str]:
    """Run a process to its end: its exit code, and all that it said."""
    lines: list[str] = []
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            count = _COUNT.match(line)
            if count is not None and progress is not None:
                progress(int(next(filter(None, count.groups()))))
    return process.returncode, "".join(lines)


def main(name: str, runs: str, seed: str, keep: str, scratch: str) -> None:
    """The process itself: never comes back."""
    import atheris

    with atheris.instrument_imports(include=["sensorfuse.wire", "sensorfuse.log", "sensorfuse.calib"]):
        from sensorfuse.fuzz.table import find_target
    harness = find_target(name).open(Path(scratch))
    corpus = Path(scratch) / "corpus"
    corpus.mkdir()
    for i, data in enumerate(harness.seeds):
        (corpus / str(i)).write_bytes(data)

    def run(data: bytes) -> None:
        with contextlib.suppress(*harness.expected):
            harness.run(data)

    options = [f"-runs={runs}", f"-seed={int(seed) + 1}", f"-timeout={HANG_S}", f"-rss_limit_mb={MEMORY_MB}"]
    options += [f"-max_len={MAX_INPUT_BYTES}", f"-artifact_prefix={keep}/{name}-guided-", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A data set of synthetic worlds: one log per scenario and seed, truth beside the data, and an index of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sensorfuse.errors import SensorfuseError
from sensorfuse.plain_json import read_object
from sensorfuse.rig import Rig
from sensorfuse.sim.recording import write_simulated_log
from sensorfuse.sim.scenario import load_scenario
from sensorfuse.sim.simulated_rig import SimulatedRig
from sensorfuse.sim.worlds import World, make_worlds, world_file

INDEX = "index.json"
SUFFIX = ".mcap"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _settings(rig: Rig, scenarios: Sequence[str], duration_ns: int, epoch_ns: int) -> dict[str, Any]:
    """All that the worlds' bytes depend on, but for their seeds."""
    return {
        "rig": rig.name,
        "rig_sha256": _digest(rig.to_yaml()),
        "scenarios": {Path(s).stem: _digest(load_scenario(s).model_dump_json()) for s in scenarios},
        "duration_s": duration_ns / 1e9,
        "epoch_ns": epoch_ns,
    }


def _index_for(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The folder's index, or a new one. Going on is for the same request: other worlds in one folder would be taken for
    these.
    """
    try:
        index = read_object((folder / INDEX).read_text(encoding="utf-8"))
        known, _ = index["settings"], index["worlds"]
    except FileNotFoundError:
        if any(folder.glob(f"*{SUFFIX}")):
            raise SensorfuseError(f"{folder}: holds logs but no {INDEX}; give another folder") from None
        return {"settings": settings, "worlds": {}}
    except (OSError, ValueError, KeyError, TypeError):
        raise SensorfuseError(f"{folder / INDEX}: cannot be read as a data set's index; give another folder") from None
    for key, value in settings.items():
        if key != "scenarios" and known.get(key) != value:
            raise SensorfuseError(
                f"{folder}: was made with another {key} ({known.get(key)}, now {value}); give another folder"
            )
    for name, digest in settings["scenarios"].items():
        if known["scenarios"].setdefault(name, digest) != digest:
            raise SensorfuseError(f"{folder}: scenario {name} has changed since; give another folder")
    return index


def _write_world(rig: Rig, duration_ns: int, epoch_ns: int, scenario: str, seed: int, file: Path) -> None:
    write_simulated_log(SimulatedRig(rig, scenario, seed, epoch_ns), file, duration_ns)


def write_dataset(
    rig: Rig, worlds: Sequence[World], folder: Path, duration_ns: int, epoch_ns: int, jobs: int = 1
) -> Iterator[Path]:
    """Write `duration_ns` of every world as `SCENARIO_SEED.mcap`; yields each as it is there.

    Started again, it goes on where it was stopped; more seeds or scenarios may be added. `index.json` names rig,
    scenarios, length, and the worlds that are complete.

    Raises:
        SensorfuseError: the folder holds worlds of other settings, or one can't be written.
    """
    settings = _settings(rig, list(dict.fromkeys(s for s, _ in worlds)), duration_ns, epoch_ns)
    folder.mkdir(parents=True, exist_ok=True)
    index = _index_for(folder, settings)
    _write_index(folder, index)  # before the first log: whoever goes on must know what these are
    by_file = {world_file(folder, s, seed, SUFFIX): (s, seed) for s, seed in worlds}
    make = partial(_write_world, rig, duration_ns, epoch_ns)
    for file in make_worlds(make, worlds, folder, SUFFIX, jobs):
        scenario, seed = by_file[file]
        index["worlds"][file.name] = {"scenario": Path(scenario).stem, "seed": seed, "bytes": file.stat().st_size}
        index["worlds"] = dict(sorted(index["worlds"].items()))
        _write_index(folder, index)
        yield file


def _write_index(folder: Path, index: dict[str, Any]) -> None:
    fresh = folder / f".partial-{INDEX}"
    fresh.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    fresh.replace(folder / INDEX)

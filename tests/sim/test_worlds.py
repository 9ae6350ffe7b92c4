"""Many worlds: whole files only, none twice, whatever the number of jobs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.sim.worlds import make_worlds

WORLDS = [("town", 1), ("town", 2), ("highway", 1)]


def write_name(scenario: str, seed: int, file: Path) -> None:
    file.write_text(f"{scenario} {seed}")


def refuse_seed_two(scenario: str, seed: int, file: Path) -> None:
    write_name(scenario, seed, file)
    if seed == 2:
        raise SensorfuseError("no room for seed 2")


def die(scenario: str, seed: int, file: Path) -> None:
    os._exit(9)


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_world_becomes_its_own_file(tmp_path: Path, jobs: int) -> None:
    made = set(make_worlds(write_name, WORLDS, tmp_path / "new", ".txt", jobs))
    assert {f.name: f.read_text() for f in made} == {
        "town_1.txt": "town 1", "town_2.txt": "town 2", "highway_1.txt": "highway 1"
    }  # fmt: skip
    assert set((tmp_path / "new").iterdir()) == made


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_world_that_fails_leaves_no_file_and_the_others_are_not_made_again(tmp_path: Path, jobs: int) -> None:
    with pytest.raises(SensorfuseError, match="no room"):
        list(make_worlds(refuse_seed_two, WORLDS, tmp_path, ".txt", jobs))
    assert not (tmp_path / "town_2.txt").exists()
    assert (tmp_path / "town_1.txt").exists()
    (tmp_path / "town_1.txt").write_text("kept")
    assert len(list(make_worlds(write_name, WORLDS, tmp_path, ".txt", jobs))) == 3
    assert (tmp_path / "town_1.txt").read_text() == "kept"
    assert (tmp_path / "town_2.txt").read_text() == "town 2"


def test_a_process_that_dies_is_explained(tmp_path: Path) -> None:
    with pytest.raises(SensorfuseError, match="start again to go on"):
        list(make_worlds(die, WORLDS, tmp_path, ".txt", 2))


def test_two_worlds_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SensorfuseError, match="different names"):
        list(make_worlds(write_name, [("town", 1), ("mine/town.yaml", 1)], tmp_path, ".txt", 1))

"""A data set of worlds: the same bytes however it was made, and never two requests in one folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.log import open_log
from sensorfuse.rig import Rig
from sensorfuse.sim.log_dataset import write_dataset

EPOCH_NS, HALF_A_SECOND = 1_000_000_000_000, 500_000_000
WORLDS = [("town", 3), ("town_night", 3)]


@pytest.fixture(scope="module")
def folder(small_rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("worlds") / "one"
    assert len(list(write_dataset(small_rig, WORLDS, out, HALF_A_SECOND, EPOCH_NS))) == 2
    return out


def test_it_holds_a_log_with_truth_per_world_and_an_index(small_rig: Rig, folder: Path) -> None:
    index = json.loads((folder / "index.json").read_text())
    assert {n: (w["scenario"], w["seed"]) for n, w in index["worlds"].items()} == {
        "town_3.mcap": ("town", 3), "town_night_3.mcap": ("town_night", 3)
    }  # fmt: skip
    for name in index["worlds"]:
        with open_log(folder / name) as reader:
            assert {s.stream for s in reader.samples()} == set(small_rig.streams())
        with open_log(folder / name) as reader:
            assert len(list(reader.truth())) >= 4


def test_several_jobs_give_the_same_bytes(small_rig: Rig, folder: Path, tmp_path: Path) -> None:
    list(write_dataset(small_rig, WORLDS, tmp_path, HALF_A_SECOND, EPOCH_NS, jobs=2))
    for file in folder.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_it_goes_on_and_takes_more_worlds_but_no_other_request(small_rig: Rig, folder: Path) -> None:
    before = (folder / "town_3.mcap").stat().st_mtime_ns
    list(write_dataset(small_rig, [*WORLDS, ("town", 4)], folder, HALF_A_SECOND, EPOCH_NS))
    assert (folder / "town_3.mcap").stat().st_mtime_ns == before
    assert len(json.loads((folder / "index.json").read_text())["worlds"]) == 3
    with pytest.raises(SensorfuseError, match=r"made with another duration_s \(0.5, now 1.0\)"):
        list(write_dataset(small_rig, WORLDS, folder, 2 * HALF_A_SECOND, EPOCH_NS))
    with pytest.raises(SensorfuseError, match="another rig_sha256"):
        list(write_dataset(small_rig.with_fusion(rate_hz=5.0), WORLDS, folder, HALF_A_SECOND, EPOCH_NS))


def test_what_was_stopped_before_its_first_world_was_told_of_goes_on(small_rig: Rig, tmp_path: Path) -> None:
    started = write_dataset(small_rig, WORLDS, tmp_path, HALF_A_SECOND // 5, EPOCH_NS)
    next(started)
    index = json.loads((tmp_path / "index.json").read_text())
    index["worlds"] = {}
    (tmp_path / "index.json").write_text(json.dumps(index))
    assert len(list(write_dataset(small_rig, WORLDS, tmp_path, HALF_A_SECOND // 5, EPOCH_NS))) == 2
    assert len(json.loads((tmp_path / "index.json").read_text())["worlds"]) == 2


def test_a_scenario_file_that_changed_is_refused(small_rig: Rig, tmp_path: Path) -> None:
    mine, out = tmp_path / "mine.yaml", tmp_path / "out"
    mine.write_text("description: first\n")
    list(write_dataset(small_rig, [(str(mine), 0)], out, HALF_A_SECOND // 5, EPOCH_NS))
    mine.write_text("description: second\n")
    with pytest.raises(SensorfuseError, match="scenario mine has changed"):
        list(write_dataset(small_rig, [(str(mine), 1)], out, HALF_A_SECOND // 5, EPOCH_NS))


def test_other_logs_are_left_alone(small_rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "drive.mcap").write_bytes(b"mine")
    with pytest.raises(SensorfuseError, match=r"holds logs but no index\.json"):
        list(write_dataset(small_rig, WORLDS, tmp_path, HALF_A_SECOND, EPOCH_NS))

"""Faults as text and as entries of a file."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sensorfuse.errors import SensorfuseError
from sensorfuse.inject.command import combine, describe_kinds
from sensorfuse.inject.fault import KINDS, MACHINE, Fault, check_faults, parse_fault
from sensorfuse.inject.random_faults import QUIET_S, random_faults
from sensorfuse.inject.scenario import load_fault_scenario
from sensorfuse.rig import Rig


@given(
    kind=st.sampled_from(sorted(KINDS)),
    share=st.floats(0, 1),
    at_s=st.integers(0, 10**6),
    for_s=st.none() | st.integers(1, 10**6),
)
def test_what_is_written_is_read_back(kind: str, share: float, at_s: int, for_s: int | None) -> None:
    spec = KINDS[kind]
    value = (
        None
        if spec.least == spec.most
        else round(max(spec.least, -100.0) + share * (min(spec.most, 100.0) - max(spec.least, -100.0)), 3)
    )
    target = {"stream": "lidar", "process": "align.0", "machine": MACHINE}[spec.place]
    fault = Fault(
        target=target, kind=kind, value=value, at_s=at_s / 1000, for_s=None if for_s is None else for_s / 1000
    )
    assert parse_fault(str(fault)) == fault


def test_the_short_form() -> None:
    fault = parse_fault("lidar:drop:0.3@5+4")
    assert (fault.target, fault.kind, fault.amount, fault.at_s, fault.end_s) == ("lidar", "drop", 0.3, 5, 9)
    assert parse_fault("imu:freeze").end_s == float("inf")
    assert parse_fault("imu:kill@3").end_s == 3, "nobody keeps it down"
    assert parse_fault("camera:camera_fog:0.5@1+2").place == "stream"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lidar", "expected TARGET:KIND"),
        ("lidar:drop:2", "0 to 1 share, got 2"),
        ("lidar:drip", "no fault is called 'drip'"),
        ("lidar:delay", "needs a value in s"),
        ("lidar:cpu", "takes the target 'machine'"),
        ("machine:drop", "takes a stream as target"),
        ("lidar:drop@3+0", "greater than 0"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(SensorfuseError, match="fault") as error:
        parse_fault(text)
    assert said in str(error.value)


def test_a_target_that_the_run_lacks(small_rig: Rig) -> None:
    check_faults(
        [parse_fault(t) for t in ("camera:drop", "fusion.1:kill", "machine:cpu", "recorder:disk_full")], small_rig
    )
    for text, said in (
        ("roof:drop", "no stream 'roof'"),
        ("roof:kill", "no process"),
        ("imu:camera_fog", "is for camera"),
    ):
        with pytest.raises(SensorfuseError, match=said):
            check_faults([parse_fault(text)], small_rig)


def test_a_scenario_file_and_what_is_given_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(
        "faults:\n  - lidar:drop:0.3@5+4\n  - {target: camera, kind: kill, at_s: 8, for_s: 2}\n"
        "limits: {ticks_missed: 0, score: 0.4}\nseed: 3\n"
    )
    orders = combine(["imu:freeze@1+1"], ["score=0.2"], file, None, None)
    assert [str(f) for f in orders.faults] == ["lidar:drop:0.3@5+4", "camera:kill@8+2", "imu:freeze@1+1"]
    assert {known.measure: known.value for known in orders.limits} == {"ticks_missed": 0, "score": 0.2}
    assert (orders.seed, orders.duration_s) == (3, 15)
    assert combine(["imu:freeze@30+1"], [], None, 5, None).duration_s == 35


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("faults: [lidar:drip]", "f.yaml:1: faults: fault 'lidar:drip'"),
        ("faults:\n  - {target: lidar, kind: drop, value: 3}", r"f.yaml:2: faults.0.value: drop takes 0 to 1"),
        ("faults: []\nlimits: {luck: 1}", "nothing is called so"),
        ("fault: []", "unknown key"),
    ],
)
def test_a_fault_in_a_scenario_file_has_its_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(text)
    with pytest.raises(SensorfuseError) as error:
        load_fault_scenario(file)
    assert said in str(error.value)


def test_nothing_to_put_in_is_an_error() -> None:
    with pytest.raises(SensorfuseError, match="no fault"):
        combine([], [], None, None, None)
    with pytest.raises(SensorfuseError, match="expected MEASURE=NUMBER"):
        combine(["imu:freeze"], ["score"], None, None, None)


def test_every_kind_is_described() -> None:
    text = describe_kinds()
    assert all(kind in text for kind in KINDS)


def test_random_faults_come_one_after_the_other_and_again_for_the_same_seed(small_rig: Rig) -> None:
    faults = random_faults(small_rig, 600, 1)
    assert faults == random_faults(small_rig, 600, 1) != random_faults(small_rig, 600, 2)
    check_faults(faults, small_rig)
    assert len(faults) > 60
    assert {"drop", "kill", "stop", "cpu", "garbage"} <= {f.kind for f in faults}
    assert all(a.end_s < b.at_s for a, b in pairwise(faults))
    assert faults[0].at_s >= QUIET_S
    assert faults[-1].end_s <= 600 - QUIET_S


seconds = st.floats(0, 1e9)


@settings(deadline=None)
@given(
    st.sampled_from(["lidar", "align.0", "machine"]),
    st.sampled_from(list(KINDS)),
    st.none() | st.floats(-1e9, 1e9),
    seconds,
    st.none() | seconds,
)
def test_every_fault_is_read_back_from_its_text(
    target: str, kind: str, value: float | None, at_s: float, for_s: float | None
) -> None:
    try:
        fault = Fault(target=target, kind=kind, value=value, at_s=at_s, for_s=for_s)
    except ValidationError:
        return
    assert parse_fault(str(fault)) == fault


def test_faults_of_short_times_have_no_exponent() -> None:
    fault = Fault(target="lidar", kind="bit_flips", value=1e-5, at_s=0.00005, for_s=1e-7)
    assert str(fault) == "lidar:bit_flips:0.00001@0.00005+0.0000001"
    assert parse_fault(str(fault)) == fault
    assert str(Fault(target="imu", kind="skew", value=-100.0, at_s=20)) == "imu:skew:-100@20"


@pytest.mark.parametrize("text", ["roof:drop", "roof:kill", "roof:stop"])
def test_what_runs_on_another_host_cannot_be_made_to_fail_from_here(small_rig: Rig, text: str) -> None:
    data = small_rig.model_dump()
    data["sensors"]["roof"] = {**data["sensors"]["lidar"], "frame": "roof"}
    hosts = {"attic": {"address": "tcp://127.0.0.2", "streams": ["roof"]}}
    data["endpoints"] |= {"control": "tcp://127.0.0.1", "key": "brain", "hosts": hosts}
    rig = Rig.model_validate(data)
    with pytest.raises(SensorfuseError, match="'roof' runs on the host 'attic'"):
        check_faults([parse_fault(text)], rig)
    check_faults([parse_fault(text.replace("roof", "lidar"))], rig)
    check_faults([parse_fault(text)], rig.on_one_host())

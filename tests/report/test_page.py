"""The page: self-contained, valid, safe, and of one mind with the summary."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fake_run import TICKS, FakeRun, make_frame, make_record, make_samples

from sensorfuse.messages import LEDGER_REASONS
from sensorfuse.report.page import example_frame, write_report
from sensorfuse.report.record import Event, Snapshot
from sensorfuse.report.scores import score
from sensorfuse.report.summary import build_summary
from sensorfuse.report.wording import count, milliseconds, seconds
from sensorfuse.rig import Rig

VOID = {"meta", "link", "img", "br", "source"}
HOSTILE = "<script>alert('x')</script>\"&"


class Page(HTMLParser):
    """Checks nesting; gathers text, attributes, and the text of elements that name a number of the summary."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.figures: list[tuple[str, str]] = []
        self._key: str | None = None
        self.feed(text)
        self.close()
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {k: v or "" for k, v in attrs}
        self.tags.append((tag, found))
        if tag not in VOID:
            self.open.append(tag)
        if "data-key" in found:
            self._key = found["data-key"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            return
        self.words.append(data)
        if self._key is not None:
            self.figures.append((self._key, data))
            self._key = None

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def look_up(summary: dict[str, Any], key: str) -> Any:
    value: Any = summary
    for part in key.split("/"):
        value = value[part]
    return value


@pytest.fixture(scope="module")
def made(fake_run: FakeRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    scores = {
        "precision": 0.912,
        "per_class": {"car": {"recall": 0.75, "n": 12}, "bus": {"recall": None}},
        "by_range": {"20 m": 0.5},
    }
    summary = build_summary(fake_run.record, fake_run.frames, scores)
    path = write_report(tmp_path_factory.mktemp("out"), fake_run.record, summary, fake_run.snapshots)
    assert path.name == "report.html"
    return path.read_text(encoding="utf-8"), summary


def test_it_parses_and_asks_nobody_for_anything(made: tuple[str, dict[str, Any]]) -> None:
    text, _ = made
    page = Page(text)
    assert len(text) < 3_000_000
    for tag, attributes in page.tags:
        assert tag not in ("script", "iframe", "object", "embed", "base")
        for name in ("src", "srcset", "href", "action", "data", "poster"):
            if name in attributes:
                assert attributes[name].startswith("data:"), (tag, name)
        if tag == "img":
            assert attributes["alt"]
    style = re.search(r"<style>(.*?)</style>", text, re.S)
    assert style
    assert not re.search(r"url\(|@import|https?:|//", style[1])
    assert not re.search(r"https?://", re.sub(r"base64,[A-Za-z0-9+/=]+", "", text))
    assert "prefers-color-scheme: dark" in style[1]


def test_every_picture_decodes_and_is_not_blank(made: tuple[str, dict[str, Any]]) -> None:
    pictures = re.findall(r"data:image/(?:png|jpeg);base64,([A-Za-z0-9+/=]+)", made[0])
    assert len(pictures) == 3 * 4 + 2 * 3, "three charts in four forms, a view from above and one ahead per tick"
    for encoded in pictures:
        image = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_COLOR)
        assert image.std() > 3


def test_every_number_is_the_summarys(made: tuple[str, dict[str, Any]]) -> None:
    text, summary = made
    figures = Page(text).figures
    for key, shown in figures:
        value = look_up(summary, key)
        forms = {count(value)} if isinstance(value, int) else {milliseconds(value), seconds(value), f"{value or 0:.2f}"}
        assert shown in forms or (value == 0 and shown == "none"), key
    keys = {key for key, _ in figures}
    assert {"ticks", "ticks_expected", "ticks_full", "deadline_hits"} <= keys
    assert {f"streams/{s}/{r}" for s in summary["streams"] for r in ("published", "received", *LEDGER_REASONS)} <= keys
    assert {
        f"latency_ms/{s}/{k}" for s, row in summary["latency_ms"].items() if row["n"] for k in ("p50", "p99", "max")
    } <= keys
    assert {f"exchanges/{p}/{k}" for p in ("lidar", "radar") for k in ("bound_ms", "exchanges", "resets")} <= keys
    assert {f"modalities/{m}/{k}" for m, row in summary["modalities"].items() for k in row} <= keys


def test_it_tells_what_happened(made: tuple[str, dict[str, Any]], fake_run: FakeRun) -> None:
    text, summary = made
    words = Page(text).text
    assert summary["headline"] in words
    assert fake_run.record.command in words
    assert fake_run.record.source in words
    assert "lidar locked +2.500123" in words
    assert words.count("adds up") == len(summary["streams"])
    assert "off by" not in words
    for event in fake_run.record.events:
        assert event.what in words
    for shot in fake_run.snapshots:
        assert f"Tick {shot.frame.tick_id}:" in words
    assert "without LiDAR" in words
    assert "0.912" in words
    assert "0.750" in words


def test_a_ledger_that_does_not_add_up_is_said_to_be_off(fake_run: FakeRun, tmp_path: Path) -> None:
    record = replace(
        fake_run.record, published={**fake_run.record.published, "radar": fake_run.record.published["radar"] + 4}
    )
    summary = build_summary(record, fake_run.frames, None)
    words = Page(write_report(tmp_path, record, summary, []).read_text(encoding="utf-8")).text
    assert "off by 4" in words
    assert words.count("adds up") == len(summary["streams"]) - 1


def test_hostile_words_stay_words(fake_run: FakeRun, tmp_path: Path) -> None:
    rig = fake_run.record.rig.model_copy(update={"description": HOSTILE})
    frame = make_frame(fake_run.record.rig, 3, ("lidar",))
    frame.uses[0].stream, frame.uses[1].reason = HOSTILE, HOSTILE
    frame.mode, frame.engine = f"no_{HOSTILE}", HOSTILE
    record = replace(
        fake_run.record, rig=rig, source=HOSTILE, command=HOSTILE, model=HOSTILE, strategy=HOSTILE, engine=HOSTILE,
        published={HOSTILE: 1}, received={HOSTILE: 1}, ledger={HOSTILE: dict.fromkeys(LEDGER_REASONS, 0)},
        timings_ms={HOSTILE: [1.0, 2.0]}, events=[Event(frame.t_ref_ns, HOSTILE, HOSTILE)], frames_path=Path(HOSTILE),
    )  # fmt: skip
    summary = build_summary(record, [frame], {HOSTILE: HOSTILE, "groups": {HOSTILE: {HOSTILE: HOSTILE}}})
    text = write_report(tmp_path, record, summary, [Snapshot(frame, {}, None)]).read_text(encoding="utf-8")
    page = Page(text)
    assert "<script" not in text
    assert all(tag != "script" for tag, _ in page.tags)
    assert page.text.count(HOSTILE) > 12


def test_a_run_without_ticks(synthetic_rig: Rig, tmp_path: Path) -> None:
    record = replace(make_record(synthetic_rig, 0, tmp_path), ticks_expected=3)
    path = write_report(tmp_path, record, build_summary(record, [], None), [])
    words = Page(path.read_text(encoding="utf-8")).text
    assert "No tick was published, 3 were expected." in words
    assert "3 missed" in words


def test_a_rig_without_a_camera_and_a_run_without_truth(synthetic_rig: Rig, tmp_path: Path) -> None:
    data = synthetic_rig.model_dump(exclude_unset=True)
    del data["sensors"]["camera"]
    data["fusion"]["modalities"] = ("lidar", "radar", "imu", "audio")
    rig = Rig.model_validate(data)
    frames = [make_frame(rig, k) for k in range(5)]
    record = make_record(rig, 5, tmp_path)
    shots = [Snapshot(f, make_samples(rig, f), None) for f in frames[2:3]]
    text = write_report(tmp_path, record, build_summary(record, frames, None), shots).read_text(encoding="utf-8")
    assert "this rig has no camera" in text
    assert 'id="score"' not in text


def test_a_lost_camera_says_why_there_is_no_picture(synthetic_rig: Rig, tmp_path: Path) -> None:
    frame = make_frame(synthetic_rig, 0, ("camera",))
    record = make_record(synthetic_rig, 1, tmp_path)
    shots = [Snapshot(frame, make_samples(synthetic_rig, frame), None)]
    text = write_report(tmp_path, record, build_summary(record, [frame], None), shots).read_text(encoding="utf-8")
    assert "no camera picture: idle" in text


def test_the_example_is_a_degraded_tick_if_there_is_one(fake_run: FakeRun) -> None:
    example = example_frame(fake_run.snapshots)
    assert example is not None
    assert example.mode == "no_lidar"
    assert example_frame(fake_run.snapshots[:1]) is fake_run.snapshots[0].frame
    assert example_frame([]) is None
    assert len(fake_run.frames) + 1 == TICKS


def test_scores_have_words_and_groups_a_table() -> None:
    whole = {"mean_ap": 0.25, "complete": False, "frames": 1200, "ap": {"0.5": 0.125}, "odd_thing": None}
    one = {"classes": {"any": {"truths": 3}}}
    two = {"classes": {"car": {"truths": 3, "errors": {"ate_m": 0.75}}, "bus": {"truths": 4}}}
    words = Page(score(whole)).text
    assert "mean average precision (AP) 0.250" in words
    assert "annotation holds every object no" in words
    assert "frames scored 1 200" in words
    assert "AP within 0.5 m 0.125" in words
    assert "odd thing –" in words
    assert score(one) == score(None) == ""
    page = Page(score(two))
    assert "true objects position error, m car 3 0.750 bus 4 –" in page.text


def test_an_engine_replaced_in_the_run_is_told_with_its_ticks(fake_run: FakeRun, tmp_path: Path) -> None:
    names = ("onnxruntime-1-cuda", "onnxruntime-1-cpu")
    frames = [replace(f, engine=names[f.tick_id >= 7]) for f in fake_run.frames]
    summary = build_summary(fake_run.record, frames, None)
    precision = frames[0].precision
    assert summary["engines"] == {
        f"onnxruntime-1-cuda {precision}": 7,
        f"onnxruntime-1-cpu {precision}": len(frames) - 7,
    }
    words = Page(write_report(tmp_path, fake_run.record, summary, []).read_text(encoding="utf-8")).text
    assert f"onnxruntime-1-cuda {precision}: 7 ticks" in words

"""Settings that follow from a survey: to paste into the rig, or written into a copy of its file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import yaml

from sensorfuse.errors import SensorfuseError
from sensorfuse.rig import Rig, parse_rig, shipped_rigs
from sensorfuse.sync.completeness import CompletenessReport
from sensorfuse.sync.offset_balance import Difference, balance
from sensorfuse.sync.stream_plan import StreamPlan
from sensorfuse.sync.stream_report import StreamReport
from sensorfuse.sync.verdict import agrees
from sensorfuse.yaml_model import read_text

Settings = dict[str, dict[str, float]]
FUSION = "fusion"
STEP_MS = 5
MARGIN_MS = 5  # a log shows no more than itself
MIN_SIGMA_S = 1e-4
LATE_SHARE = 0.001  # of messages out of order from which lateness is worth its waiting


def suggest(
    plans: Mapping[str, StreamPlan],
    streams: Mapping[str, StreamReport],
    completeness: CompletenessReport | None,
    rig: Rig | None,
) -> Settings:
    """By sensor: `offset_s` and `offset_sigma_s` where content told them; "fusion": `deadline_ms`, `lateness_ms`.

    The deadline is the shortest with which 99 % of the ticks are
    complete that can be, rounded up with a small margin. Lateness covers what comes out of order, where that is often
    and the rig sets it.
    """
    out: Settings = {}
    configs = {plan.name: plan.config for plan in plans.values() if plan.config is not None}
    for name, (lacking_s, sigma_s) in _lacking(streams).items():
        if name in configs:
            out[name] = {
                "offset_s": round(configs[name].offset_s + lacking_s, 5),
                "offset_sigma_s": round(max(sigma_s, MIN_SIGMA_S), 5),
            }
    fusion: dict[str, float] = {}
    if completeness is not None:
        deadline = completeness.all.deadline_99_ms
        if deadline is not None:
            fusion["deadline_ms"] = float(STEP_MS * math.ceil((deadline + MARGIN_MS) / STEP_MS))
        if rig is not None and rig.fusion.lateness_ms is not None:  # else the aligner learns it
            late = max((_lateness_ms(s) for s in streams.values()), default=0.0)
            fusion["lateness_ms"] = float(late)
    if fusion and rig is not None:
        out[FUSION] = fusion
    return out


def _lacking(streams: Mapping[str, StreamReport]) -> dict[str, tuple[float, float]]:
    """What each sensor's offset lacks, with its sigma: where content contradicts the rig, or knows better. An offset
    that starts anew with the device holds for this log only and is left out.
    """
    known_s = {name: s.offset_sigma_s or 0.0 for name, s in streams.items()}
    undated = {name for name, s in streams.items() if s.clock.undated}
    differences = []
    for name, stream in streams.items():
        whole = stream.content.whole if stream.content is not None else None
        if whole is None or not whole.accepted or undated & {name, whole.reference}:
            continue
        better = whole.sigma_s < math.hypot(known_s[name], known_s.get(whole.reference, 0.0))
        if better or not agrees(whole):
            sigma_s = max(whole.sigma_s, MIN_SIGMA_S)
            differences.append(Difference(name, whole.reference, whole.offset_s, sigma_s))
    return balance(differences, known_s)


def _lateness_ms(stream: StreamReport) -> float:
    steps = stream.steps
    if steps.stuck or steps.out_of_order < LATE_SHARE * steps.count or not steps.late_ms:
        return 0.0
    return math.ceil(steps.late_ms["p99"])


def settings_yaml(settings: Settings) -> str:
    """The settings as a part of a rig file."""
    sensors = {name: values for name, values in settings.items() if name != FUSION}
    tree = ({"sensors": sensors} if sensors else {}) | ({FUSION: settings[FUSION]} if FUSION in settings else {})
    return str(yaml.safe_dump(tree, sort_keys=False)) if tree else ""


def write_rig(name: str | None, rig: Rig | None, settings: Settings, target: Path) -> None:
    """Write the rig with the settings in it. Comments and layout of its file stay as they are; a rig that came with the
    log, or whose keys stand in a form that can't be edited line by line, is written without comments.

    Args:
        name: the rig's file, or a shipped rig's name; None where the rig was guessed.

    Raises:
        SensorfuseError: there is no rig, or `target` can't be written.
    """
    if rig is None:
        raise SensorfuseError(f"--write {target}: no shipped rig fits this log; give the rig with --rig")
    text = _source(name or rig.name, rig)
    for name, values in settings.items():
        path = (FUSION,) if name == FUSION else ("sensors", name)
        for key, value in values.items():
            text = _set(text, (*path, key), value)
    try:
        edited = parse_rig(text, str(target))
    except SensorfuseError:
        edited = None
    wanted = _applied(rig, settings)
    if edited != wanted:
        text = wanted.to_yaml()
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SensorfuseError(f"--write {target}: cannot be written: {error.strerror or error}") from None


def _source(name: str, rig: Rig) -> str:
    """The text that the rig was read from, if it still says the same."""
    file = Path(name)
    if not file.is_file():
        if name not in shipped_rigs():
            return rig.to_yaml()
        file = Path(str(resources.files("sensorfuse.deploy.rigs") / f"{name}.yaml"))
    text = read_text(file, "rig", "give another")
    return text if parse_rig(text, name) == rig else rig.to_yaml()  # the log's own may be an older one


def _applied(rig: Rig, settings: Settings) -> Rig:
    data = rig.model_dump()
    for name, values in settings.items():
        (data[FUSION] if name == FUSION else data["sensors"][name]).update(values)
    return Rig.model_validate(data)


def _set(text: str, path: tuple[str, ...], value: float) -> str:
    """The text with one number of a mapping replaced, or put in below the mapping's last key."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return text
    node, found = root, None
    for depth, key in enumerate(path):
        if not isinstance(node, yaml.MappingNode) or node.flow_style:
            return text
        found = next((v for k, v in node.value if k.value == key), None)
        if found is None and depth == len(path) - 1:
            return _insert(text, node, key, value)
        if found is None:
            return _append(text, path[0], path[1], value) if len(path) == 2 else text
        node = found
    if found is None or not isinstance(found, yaml.ScalarNode):
        return text
    return text[: found.start_mark.index] + f"{value!r}" + text[found.end_mark.index :]


def _insert(text: str, mapping: yaml.MappingNode, key: str, value: float) -> str:
    """A new line below the mapping's last one-line entry."""
    entries = [k for k, v in mapping.value if v.start_mark.line == v.end_mark.line == k.start_mark.line]
    lines = text.splitlines(keepends=True)
    indent = " " * mapping.value[0][0].start_mark.column
    place = max(k.start_mark.line for k in entries) + 1 if entries else mapping.value[0][0].start_mark.line
    if place and not lines[place - 1].endswith("\n"):
        lines[place - 1] += "\n"
    return "".join([*lines[:place], f"{indent}{key}: {value!r}\n", *lines[place:]])


def _append(text: str, block: str, key: str, value: float) -> str:
    end = "" if text.endswith("\n") else "\n"
    return f"{text}{end}{block}:\n  {key}: {value!r}\n"

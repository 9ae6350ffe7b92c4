"""`explain.json` and `explain.html`: what one tick came from, as data and as one self-contained page."""

from __future__ import annotations

import json
from collections import Counter
from importlib import resources
from pathlib import Path
from string import Template

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.explain.explanation import SHOWN_SCORE, Attribution, Explanation
from sensorfuse.fusion.explain.pictures import relevance_figure, scene_figure, shares_figure
from sensorfuse.messages import Modality
from sensorfuse.report.markup import chart, image, note, section, table, text
from sensorfuse.report.page import NARROW_DPI, THEMES, WIDE_DPI
from sensorfuse.report.palette import jpeg_bytes, png_bytes, scene_bytes
from sensorfuse.report.pictures import camera_figure
from sensorfuse.report.timeline import NARROW_IN, WIDE_IN
from sensorfuse.report.wording import MODALITY_LABELS, join
from sensorfuse.rig import Rig

MOST_ROWS = 24
"""Objects in the chart and in the table; the best scores come first."""


def write_explanation(out_dir: Path, explanation: Explanation, rig: Rig, log: Path, command: str) -> tuple[Path, Path]:
    """Write `explain.json` and `explain.html` into `out_dir`; their paths.

    Raises:
        SensorfuseError: `out_dir` can't be written.
    """
    strategy = explanation.moment.frame.strategy
    facts = {"log": str(log), "rig": rig.name, "strategy": strategy, "command": command} | explanation.to_json()
    template = Template((resources.files("sensorfuse.report") / "page.html").read_text(encoding="utf-8"))
    page = template.substitute(
        title=text(f"{strategy} at {explanation.moment.at_s:.1f} s: which sensors"),
        kicker=text(f"sensorfuse explain · {log} · {rig.name} · {strategy}"),
        headline=text(headline(explanation)),
        body="\n".join(_body(explanation, rig, command)),
    )
    paths = out_dir / "explain.json", out_dir / "explain.html"
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        paths[0].write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        paths[1].write_text(page, encoding="utf-8")
    except OSError as error:
        raise SensorfuseError(f"--out {out_dir}: cannot be written: {error.strerror or error}") from None
    return paths


def headline(explanation: Explanation) -> str:
    """How many objects, and by whom."""
    objects, at_s = shown_objects(explanation), explanation.moment.at_s
    if not objects:
        return f"No sure object at {at_s:.1f} s."
    by = Counter(one.dominant for one in objects).most_common()
    parts = join([f"{count} mostly by {MODALITY_LABELS[m]}" for m, count in by])
    return f"{len(objects)} object{'' if len(objects) == 1 else 's'} at {at_s:.1f} s: {parts}."


def shown_objects(explanation: Explanation) -> list[Attribution]:
    return [explanation.objects[n] for n in explanation.shown]


def _body(explanation: Explanation, rig: Rig, command: str) -> list[str]:
    return [
        section("scene", "Which sensor each object came from", _scene(explanation, rig), _absent(explanation)),
        section("objects", "Shares of each object's score", _objects(explanation)),
        section("outputs", "Own motion and sounds", _outputs(explanation)),
        section("relevance", "Where attention looked", _relevance(explanation)),
        section("how", "How it was found", _how(explanation, command)),
    ]


def _scene(explanation: Explanation, rig: Rig) -> str:
    left = image(scene_bytes(scene_figure(explanation, rig)), f"From above: {headline(explanation)}")
    return f'<div class="views"><div>{left}</div><div>{_camera(explanation, rig)}{_means(explanation)}</div></div>'


def _camera(explanation: Explanation, rig: Rig) -> str:
    moment = explanation.moment
    for stream, sensor in rig.sensors.items():
        if sensor.modality == "camera" and stream in moment.samples:
            drawn = camera_figure(moment.frame, moment.samples[stream], sensor, stream)
            if drawn is not None:
                return image(jpeg_bytes(drawn), f"Picture of {stream} with tracks as boxes")
    return ""


def _means(explanation: Explanation) -> str:
    """Over all objects: how much of the scores came from each modality, and what losing it would have cost."""
    objects = shown_objects(explanation)
    total = sum(one.value - one.none for one in objects)
    rows = []
    for m in explanation.players:
        share = sum(one.shares[m] for one in objects)
        lost = sum(one.value - one.without[m] for one in objects)
        first = sum(one.dominant == m for one in objects)
        rows.append([_label(m), _percent(share, total), _percent(lost, total), str(first)])
    head = ("modality", "share of all scores", "lost without it", "first for")
    return table(head, rows) if objects else ""


def _absent(explanation: Explanation) -> str:
    gone = (f"{MODALITY_LABELS[m]} ({why})" for m, why in explanation.absent.items())
    words = join(list(gone)) if explanation.absent else ""
    return note(text(f"Not at this tick, so without a share: {words}.")) if words else ""


def _objects(explanation: Explanation) -> str:
    rows = shown_objects(explanation)[:MOST_ROWS]
    names = [f"{n} {one.name}" for n, one in enumerate(rows, 1)]
    drawn = _bars(rows, names, explanation.players, "Shares of each object's score by modality; the table has them too")
    left = len(explanation.objects) - len(rows)
    more = note(f"{left} more with lower scores are in explain.json.") if left else ""
    return drawn + _details(rows, names, explanation.players) + more


def _outputs(explanation: Explanation) -> str:
    """In per cent of what all together give, for their units differ; what is not there is left out."""
    shown = [one for one in explanation.outputs if one.value > (SHOWN_SCORE if one.unit == "probability" else 0.0)]
    rows = [_relative(one) for one in shown]
    names = [_output_name(one) for one in shown]
    drawn = _bars(rows, names, explanation.players, "Shares of own motion's certainty and of sounds, in per cent")
    told = "In per cent of what all give together. Of own motion it is the certainty, 1 / σ², that is shared out."
    return drawn + note(told) if drawn else ""


def _output_name(one: Attribution) -> str:
    if one.unit == "probability":
        return f"{one.name}, score {one.value:.2f}"
    unit = one.unit.split("/")[1].rstrip("²")
    return f"{one.name}, ± {one.value**-0.5:.2g} {unit}/s"


def _relative(one: Attribution) -> Attribution:
    scale = 100.0 / (one.value - one.none)
    return Attribution(one.name, "%", 100.0, 0.0, {m: scale * v for m, v in one.shares.items()}, {}, {})


def _bars(rows: list[Attribution], names: list[str], players: tuple[Modality, ...], words: str) -> str:
    def draw(theme: str, narrow: bool) -> bytes | None:
        if not rows or not players:
            return None
        figure = shares_figure(rows, names, players, THEMES[theme], NARROW_IN if narrow else WIDE_IN)
        return png_bytes(figure, NARROW_DPI if narrow else WIDE_DPI)

    return chart(draw, words)


def _details(rows: list[Attribution], names: list[str], players: tuple[Modality, ...]) -> str:
    if not rows or not players:
        return note("Nothing was detected surely enough at this tick.")
    cells = [
        [
            text(name),
            f"{one.value:.2f}",
            *(_signed(one.shares[m]) for m in players),
            *(f"{one.without[m]:.2f}" for m in players),
        ]
        for name, one in zip(names, rows, strict=True)
    ]
    head = ("object", "score", *map(_label, players), *(f"no {_label(m)}" for m in players))
    told = note(
        "A share is what the score rose by when the sensor joined, averaged over all orders in which the sensors could "
        "have joined; shares add up to the score. Below 0: the sensor spoke against the object. "
        "<em>No camera</em> and so on: the score had only that sensor been missing."
    )
    return table(head, cells) + told


def _relevance(explanation: Explanation) -> str:
    if not explanation.relevance:
        return ""
    drawn = image(png_bytes(relevance_figure(explanation)), "Maps of relevance per modality, from above")
    told = note(
        "What the objects' scores were read from, by the network's attention and its gradients (Chefer, Gur and Wolf, "
        "2021); forward is up, squares are the objects. Brightness is the square root of relevance, on one scale."
    )
    return f'<div class="chart">{drawn}</div>{told}'


def _how(explanation: Explanation, command: str) -> str:
    runs = 2 ** len(explanation.players)
    made = explanation.model or "no network: objects fused by rules"
    told = f"Tick {explanation.moment.tick.tick_id} was fused again with every subset of its sensors, {runs} in all "
    told += f"({made}), and the scores were shared out by Shapley's rule."
    return f"<pre>{text(command)}</pre>{note(text(told))}"


def _signed(share: float) -> str:
    digits = f"{abs(share):.2f}"
    return digits if share >= 0 or digits == "0.00" else f"−{digits}"


def _percent(part: float, whole: float) -> str:
    return "–" if whole <= 1e-9 else f"{round(100 * part / whole)} %"


def _label(modality: Modality) -> str:
    return text(MODALITY_LABELS[modality])

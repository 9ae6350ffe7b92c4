import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sensorfuse.fusion.decode import BOX_CHANNELS  # noqa: E402
from sensorfuse.fusion.training.losses import focal_loss, make_targets, total_loss  # noqa: E402
from sensorfuse.messages import CLASSES, Detections, SoundEvent  # noqa: E402


def one_car(x: float = 10.0, velocity: float = 3.0) -> Detections:
    return Detections(
        np.array([CLASSES.index("car")], np.uint8),
        np.ones(1, np.float32),
        np.array([[x, -4.0, 0.8]]),
        np.array([[4.5, 1.8, 1.5]]),
        np.array([0.3]),
        np.array([[velocity, 0.0]]),
        np.zeros((1, 4, 4)),
        np.zeros(1, np.int64),
    )


def targets_of(objects: Detections):  # type: ignore[no-untyped-def]
    seen = np.ones(len(objects), bool)
    return make_targets([objects], [seen], np.zeros((1, 2), np.float32), [[SoundEvent("siren", 0.5, 1.0)]])


def perfect(targets):  # type: ignore[no-untyped-def]
    heat = torch.where(targets.heat >= 0.999, 8.0, -8.0)
    box = torch.zeros(1, BOX_CHANNELS, 64, 64)
    for (b, _, i, j), values, kind in zip(targets.cell, targets.values, targets.kind, strict=True):
        box[b, :10, i, j] = values
        box[b, 10 + kind, i, j] = 10.0
        box[b, 15:, i, j] = -3.0
    sound = torch.cat([(targets.sound * 16 - 8)[..., None], targets.toward], dim=-1)
    motion = torch.cat([targets.motion, torch.full((1, 2), -3.0)], dim=1)
    return heat, box, motion, sound


def test_truth_costs_nothing_and_each_error_costs() -> None:
    targets, heard = targets_of(one_car()), torch.ones(1)
    best, parts = total_loss(perfect(targets), targets, heard)
    assert all(v < 0.02 for v in parts.values())
    for k, name in [(0, "heat"), (1, "place"), (2, "motion"), (3, "sound")]:
        outputs = list(perfect(targets))
        outputs[k] = -outputs[k] + 0.5
        worse, spoiled = total_loss(tuple(outputs), targets, heard)
        assert worse > best
        assert spoiled[name] > parts[name] + 0.1


def test_deaf_rigs_are_not_asked_for_direction() -> None:
    targets = targets_of(one_car())
    heat, box, motion, sound = perfect(targets)
    sound[..., 1:] *= -1
    assert total_loss((heat, box, motion, sound), targets, torch.ones(1))[1]["direction"] > 1
    assert total_loss((heat, box, motion, sound), targets, torch.zeros(1))[1]["direction"] == 0


def test_unknown_velocity_and_empty_ticks_are_legal() -> None:
    for objects in (one_car(velocity=float("nan")), Detections.empty(), one_car(x=70.0)):
        targets = targets_of(objects)
        loss, _ = total_loss(
            tuple(torch.randn(s) for s in [(1, 3, 64, 64), (1, 17, 64, 64), (1, 4), (1, 3, 3)]), targets, torch.ones(1)
        )
        assert torch.isfinite(loss)


def test_what_is_unsure_is_not_punished() -> None:
    target, counted = torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64)
    logits = torch.full_like(target, -8.0)
    logits[0, 0, 5, 5] = 5.0
    assert focal_loss(logits, target, counted) > 1
    counted[0, 0, 5, 5] = 0
    assert focal_loss(logits, target, counted) < 1e-3


def test_learned_deviation_settles_at_the_error() -> None:
    """The likelihood is least where the standard deviation is the error's root mean square."""
    targets = targets_of(one_car())
    losses = []
    for log_sigma in np.linspace(-3, 1, 41):
        _, box, motion, sound = perfect(targets)
        b, _, i, j = targets.cell.T
        box[b, 0, i, j] += 0.4  # 0.5 m
        box[b, 1, i, j] += 0.4
        box[b, 15, i, j] = float(log_sigma)
        losses.append(total_loss((perfect(targets)[0], box, motion, sound), targets, torch.ones(1))[1]["sigma"])
    assert np.exp(np.linspace(-3, 1, 41)[int(np.argmin(losses))]) == pytest.approx(0.5, rel=0.1)

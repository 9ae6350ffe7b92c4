"""Warm-up samples are sound for every shipped rig, and warming up leaves a strategy as it was."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sensorfuse.fusion.late import LateFusion
from sensorfuse.fusion.strategies import ready_strategies
from sensorfuse.fusion.warm_up import typical_sample, warm_up
from sensorfuse.messages import sample_problem
from sensorfuse.rig import shipped_rig, shipped_rigs


@pytest.mark.parametrize("name", shipped_rigs())
def test_typical_samples_are_sound(name: str) -> None:
    rig = shipped_rig(name)
    for stream in rig.streams():
        assert sample_problem(typical_sample(rig, stream)) is None, stream
    warm_up(rig, LateFusion(rig))


COMPILED_LATER = """
import sys
import numpy as np
from numba.core.dispatcher import Dispatcher
from sensorfuse.fusion.training.dataset import Sampler, ideal_tick
from sensorfuse.fusion.strategies import make_fuser
from sensorfuse.fusion.warm_up import warm_up
from sensorfuse.rig import shipped_rig
from sensorfuse.sim import SimulatedRig
from sensorfuse.track.tracker import ObjectTracker
from sensorfuse.track.tracker_config import TrackerConfig

def compiled():
    modules = [m for n, m in sys.modules.items() if n.startswith(("sensorfuse.fusion.", "sensorfuse.track."))]
    kernels = [k for m in modules for k in vars(m).values() if isinstance(k, Dispatcher)]
    return {(k.__module__, k.__name__, str(s)) for k in kernels for s in k.signatures}

rig = shipped_rig("synthetic")
fuser, tracker = make_fuser(rig, sys.argv[1]), ObjectTracker(TrackerConfig.from_rig(rig))
warm_up(rig, fuser)
before = compiled()
assert before
world, rng = SimulatedRig(rig), np.random.default_rng(0)
sampler = Sampler(world, rig)
for k in range(20, 32):
    t_ns = k * rig.fusion.period_ns
    samples = sampler.samples(t_ns, rng)
    tick = ideal_tick(rig, t_ns, samples, world.truth(t_ns), k)
    result = fuser.fuse(tick, {n: [fuser.encode(s) for s in got] for n, got in samples.items()})
    tracker.update(t_ns, result.sources, tick.pose)
print(compiled() - before or "nothing")
"""


@pytest.mark.parametrize("strategy", ready_strategies())
def test_nothing_is_compiled_once_warm(strategy: str) -> None:
    """Else the first tick of a fresh installation waits seconds for a compiler. In a new process: kernels stay."""
    done = subprocess.run([sys.executable, "-c", COMPILED_LATER, strategy], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "nothing", done.stdout + done.stderr

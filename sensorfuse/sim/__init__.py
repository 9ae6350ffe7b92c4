"""The synthetic rig: a world, a sensor model per modality, and exact truth."""

from sensorfuse.sim.scenario import scenarios
from sensorfuse.sim.simulated_rig import SimulatedRig

__all__ = ["SimulatedRig", "scenarios"]

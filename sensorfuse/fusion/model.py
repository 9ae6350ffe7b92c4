"""A whole fusion network: one strategy on the grid, the same strategy on the scene, and the heads. Torch; training
only. One call is one tick: what a recurrent strategy remembers goes in and comes out.

The grid instance sees 64 x 64 tokens of camera, LiDAR and radar, and the IMU's and the microphones' one token each. The
scene instance sees 4 x 4 pooled tokens of the maps and the same vectors; what it makes, averaged, answers for motion
and sounds.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from sensorfuse.fusion.grid import FEATURES, GRID, SPATIAL
from sensorfuse.fusion.heads import DetectionHead, SceneHead
from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.strategies import find_learned, load_class
from sensorfuse.messages import MODALITIES

WIDTH = 32
"""D: width of fused tokens."""
SCENE_TOKENS = 4
PATCH = 4


ON_GRID = TokenLayout(
    tuple(GRID.cells**2 if m in SPATIAL else 1 for m in MODALITIES), grid=(GRID.cells, GRID.cells), patch=PATCH
)
ON_SCENE = TokenLayout(tuple(SCENE_TOKENS**2 if m in SPATIAL else 1 for m in MODALITIES))


def make_method(strategy: str, layout: TokenLayout) -> nn.Module:
    """The module of a learned strategy for tokens that lie so.

    Raises:
        SensorfuseError: no strategy has that name, or it is not learned.
    """
    module: nn.Module = load_class(find_learned(strategy).method)(layout, FEATURES, WIDTH)
    return module


class FusionNetwork(nn.Module):
    """Features of five modalities, presence and state -> heatmap logits, box values, own motion, sounds, weights and
    state. Only a recurrent strategy has a state; what it is made of `state_names` says.
    """

    def __init__(self, strategy: str) -> None:
        super().__init__()
        self.on_grid = make_method(strategy, ON_GRID)
        self.on_scene = make_method(strategy, ON_SCENE)
        self.detect = DetectionHead(WIDTH)
        self.scene = SceneHead(WIDTH)

    @property
    def state_names(self) -> tuple[str, ...]:
        """What a recurrent strategy remembers on the grid and of the scene, in order; nothing for the others."""
        levels = (("grid", self.on_grid), ("scene", self.on_scene))
        return tuple(f"{level}_{name}" for level, method in levels for name in getattr(method, "state_names", ()))

    def initial_state(self, batch: int) -> tuple[Tensor, ...]:
        """Nothing remembered."""
        begin: list[Any] = [getattr(m, "initial_state", None) for m in (self.on_grid, self.on_scene)]
        return tuple(x for one in begin if one is not None for x in one(batch))

    def forward(
        self, camera: Tensor, lidar: Tensor, radar: Tensor, imu: Tensor, audio: Tensor, present: Tensor, *state: Tensor
    ) -> tuple[Tensor, ...]:
        """Maps (B, C, X, Y), vectors (B, C), `present` (B, 5) in the order of `MODALITIES`, and the state that the tick
        before left; without one, nothing is remembered.
        """
        state = state or self.initial_state(present.shape[0])
        half = len(state) // 2
        on_grid, on_scene = self._tokens(camera, lidar, radar, imu, audio)
        fused, weights, *grid_state = self.on_grid(*on_grid, present, *state[:half])
        fused = fused.transpose(1, 2).unflatten(2, (GRID.cells, GRID.cells))
        heat, box = self.detect(fused)
        scene, scene_weights, *scene_state = self.on_scene(*on_scene, present, *state[half:])
        motion, sound = self.scene(scene.mean(dim=1))
        return heat, box, motion, sound, 0.5 * (weights + scene_weights), *grid_state, *scene_state

    def losses(
        self, camera: Tensor, lidar: Tensor, radar: Tensor, imu: Tensor, audio: Tensor, present: Tensor
    ) -> dict[str, Tensor]:
        """What the strategy itself wants, beside the heads' losses: reconstruction, contrast and such."""
        out: dict[str, Tensor] = {}
        on_grid, on_scene = self._tokens(camera, lidar, radar, imu, audio)
        for name, method, tokens in (("grid", self.on_grid, on_grid), ("scene", self.on_scene, on_scene)):
            own: Any = getattr(method, "losses", None)
            if own is not None:
                out |= {f"{name}_{term}": loss for term, loss in own(*tokens, present).items()}
        return out

    @staticmethod
    def _tokens(*features: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Tokens on the grid, and in the scene."""
        maps, vectors = features[: len(SPATIAL)], [v[:, None] for v in features[len(SPATIAL) :]]
        pooled = [F.avg_pool2d(m, GRID.cells // SCENE_TOKENS) for m in maps]
        grid, scene = ([m.flatten(2).transpose(1, 2) for m in level] for level in (maps, pooled))
        return [*grid, *vectors], [*scene, *vectors]


OUTPUTS = ("heat", "box", "motion", "sound", "weights")
"""What every network gives; after them comes the state of a recurrent one."""

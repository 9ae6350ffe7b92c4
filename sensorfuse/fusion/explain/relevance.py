"""Where an attending strategy's output was read from, input token by input token. Torch; offline only.

The attention maps and their gradients are caught while the method runs as it is; `rules.py` says what becomes of them.
Two things are not attention maps and are counted so:

- A source of one token has a softmax over one key: A = 1. Its gradient is that of a factor of 1 on what was heard.
- The output is read at every place, not from a class token: a place's final token counts by its gradient times its
  value, where that is above 0; so does what the methods carry past the attention at full resolution (`fine`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.explain.rules import Relevance, head_mean
from sensorfuse.fusion.explain.subsets import object_cells
from sensorfuse.fusion.explain.watch import Caught, Watch
from sensorfuse.fusion.grid import GRID, SPATIAL
from sensorfuse.fusion.methods.bottleneck import BottleneckFusion
from sensorfuse.fusion.methods.co_attention import CoAttentionFusion, Connection
from sensorfuse.fusion.methods.cross_modal_attention import CrossModalAttentionFusion
from sensorfuse.fusion.methods.gated_cross_attention import GatedBlock, GatedCrossAttentionFusion
from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.single_stream import SingleStreamFusion
from sensorfuse.fusion.model import FusionNetwork
from sensorfuse.messages import MODALITIES, Detections, Modality

ATTENDING = ("cross_modal_attention", "co_attention", "single_stream", "bottleneck", "gated_cross_attention")


def token_relevance(
    method: nn.Module, tokens: Sequence[Tensor], present: Tensor, target: Callable[[Tensor], Tensor]
) -> list[Tensor]:
    """Relevance of every input token, of a batch of one.

    Args:
        method: an attending method, of those in `ATTENDING`.
        tokens, present: as for `method.forward`, batch of one.
        target: a number from the fused tokens (1, N, D).

    Returns:
        Per modality (N_m / p^2 or 1,): of patches where the method works on patches; all 0 of the absent.

    Raises:
        SensorfuseError: the method is none that attends.
    """
    rules = {
        CrossModalAttentionFusion: _cross_modal,
        CoAttentionFusion: _co_attention,
        SingleStreamFusion: _single_stream,
        BottleneckFusion: _bottleneck,
        GatedCrossAttentionFusion: _gated,
    }
    if type(method) not in rules:
        raise SensorfuseError(f"{type(method).__name__} does not attend; relevance is of {', '.join(ATTENDING)}")
    inputs = [x.detach().clone().requires_grad_(True) for x in tokens]
    layout = layout_of(method)
    with Watch() as watch, Caught() as caught:
        _watch(method, watch, layout)
        fused = method(*inputs, present)[0]
    target(fused).backward()
    maps = [head_mean(m[0].detach(), _gradient(m)[0]) for m in caught.maps]
    method.zero_grad()
    counts = [layout.patches if n > 1 else 1 for n in layout.counts]
    there = (present[0] > 0.5).tolist()
    total = rules[type(method)](method, watch, maps, counts, there)
    fine = [_fine(watch, layout, m, n) for m, n in enumerate(counts)]
    parts = total.split(counts)
    return [p + f if one else torch.zeros_like(p) for p, f, one in zip(parts, fine, there, strict=True)]


def layout_of(method: Any) -> TokenLayout:
    """How a method's tokens lie: one may have made its patches larger than it was told."""
    layout = method.layout if hasattr(method, "layout") else method.embed.layout
    assert isinstance(layout, TokenLayout)
    return layout


def _gradient(value: Tensor) -> Tensor:
    return torch.zeros_like(value) if value.grad is None else value.grad


def _watch(method: Any, watch: Watch, layout: TokenLayout) -> None:
    """Hooks on what is read at the end, on what is carried past the attention, and on sources of one token."""
    if isinstance(method, GatedCrossAttentionFusion):
        watch.output("state", method.trunk_layer)
        for name, fine in method.fine.items():
            watch.copy(f"fine {name}", fine)
        for name, block in method.blocks.items():
            assert isinstance(block, GatedBlock)
            if not block.many:
                watch.factor(f"one {name}", block.out, layout.patches)
        return
    read = method if isinstance(method, CrossModalAttentionFusion) else method.read
    askers = method.targets if isinstance(method, CrossModalAttentionFusion) else range(layout.modalities)
    for n, m in enumerate(askers):
        watch.input(f"final {m}", read.score[n])
        watch.copy(f"fine {m}", read.fine[n])
    if isinstance(method, CrossModalAttentionFusion):
        for name, block in method.blocks.items():
            a, b = name.split("_")
            if layout.counts[int(b)] == 1:
                watch.factor(f"one {name}", block, layout.patches if layout.counts[int(a)] > 1 else 1)
    if isinstance(method, CoAttentionFusion):
        for k, connect in enumerate(method.connect):
            assert isinstance(connect, Connection)
            for m in range(layout.modalities):
                watch.input(f"heard {k} {m}", connect.out[m])
                watch.output(f"value {k} {m}", connect.value[m])


def _fine(watch: Watch, layout: TokenLayout, modality: int, count: int) -> Tensor:
    """What was carried past the attention, summed over the cells of a patch."""
    if f"fine {modality}" not in watch.seen:
        return torch.zeros(count)
    gain = watch.gain(f"fine {modality}")
    return layout.to_patches(gain[None, :, None])[0].sum(dim=-1)


def _read_all(state: Relevance, watch: Watch, streams: Sequence[int], there: Sequence[bool]) -> Tensor:
    total = torch.zeros(state.rows[0].shape[1])
    for m in streams:
        if there[m]:
            total = total + state.read(m, watch.gain(f"final {m}"))
    return total


def _cross_modal(method: Any, watch: Watch, maps: list[Tensor], counts: list[int], there: list[bool]) -> Tensor:
    """Every target asks every source once; sources stay what they were."""
    state, order = Relevance(counts), iter(maps)
    first = Relevance(counts)
    for a in method.targets:
        for b in range(len(counts)):
            if b == a:
                continue
            attention = _one_key(watch, f"one {a}_{b}") if counts[b] == 1 else next(order)
            if there[b]:
                state.rows[a] = state.rows[a] + first.heard(a, b, attention)
    return _read_all(state, watch, method.targets, there)


def _one_key(watch: Watch, name: str) -> Tensor:
    """A' (N, 1) of a source of one token."""
    return _gradient(watch.seen[name])[0].clamp_min(0)


def _co_attention(method: Any, watch: Watch, maps: list[Tensor], counts: list[int], there: list[bool]) -> Tensor:
    """All ask all others at once, then each stream itself."""
    state, order = Relevance(counts), iter(maps)
    streams = range(len(counts))
    for k, connect in enumerate(method.connect):
        gains = []
        for a in streams:
            gain = torch.zeros_like(state.rows[a])
            for b in streams:
                if b == a:
                    continue
                attention = next(order) if counts[b] > 1 else _one_value(watch, k, a, b, connect.heads)
                if there[b]:
                    gain = gain + state.heard(a, b, attention)
            gains.append(gain)
        state.rows = [rows + gain for rows, gain in zip(state.rows, gains, strict=True)]
        for a in streams:
            if counts[a] > 1:
                state.self_attention(a, next(order))
    return _read_all(state, watch, streams, there)


def _one_value(watch: Watch, layer: int, a: int, b: int, heads: int) -> Tensor:
    """A' (N_a, 1) where a hears the one token of b among others: the gradient of a's sum, along b's value."""
    heard, value = watch.seen[f"heard {layer} {a}"], watch.seen[f"value {layer} {b}"]
    along = (_gradient(heard)[0] * value.detach()[0]).unflatten(1, (heads, -1)).sum(dim=-1)  # (N, heads)
    return along.clamp_min(0).mean(dim=1, keepdim=True)


def _single_stream(method: Any, watch: Watch, maps: list[Tensor], counts: list[int], there: list[bool]) -> Tensor:
    """One stream of all tokens."""
    state = Relevance([sum(counts)])
    for attention in maps:
        state.self_attention(0, attention)
    rows = state.rows[0].split(counts)
    total = torch.zeros(sum(counts))
    for m, one in enumerate(there):
        if one:
            total = total + watch.gain(f"final {m}") @ rows[m]
    return total


def _bottleneck(method: Any, watch: Watch, maps: list[Tensor], counts: list[int], there: list[bool]) -> Tensor:
    """Each stream attends to itself and to the bottleneck, whose versions are averaged over the present."""
    state, order = Relevance([*counts, len(method.bottleneck)]), iter(maps)
    for _ in method.layers:
        shared = []
        for m, n in enumerate(counts):
            joined = torch.cat([state.rows[m], state.rows[-1]])
            joined = joined + next(order) @ joined
            state.rows[m] = joined[:n]
            shared.append(joined[n:])
        state.rows[-1] = torch.stack([s for s, one in zip(shared, there, strict=True) if one]).mean(dim=0)
    return _read_all(state, watch, range(len(counts)), there)[: sum(counts)]


def _gated(method: Any, watch: Watch, maps: list[Tensor], counts: list[int], there: list[bool]) -> Tensor:
    """The trunk asks each source in turn, then itself; what lets a source in is a gate, and part of the gradient."""
    trunk = next((t for t in method.trunks if there[t]), None)
    order = iter(maps)
    state, first = Relevance(counts), Relevance(counts)
    rows = torch.zeros(max(counts), sum(counts)) if trunk is None else state.rows[trunk]
    asker = method.trunks[0] if trunk is None else trunk
    for m, n in enumerate(counts):
        if m == method.trunks[0]:
            continue
        attention = next(order) if n > 1 else _one_key(watch, f"one {m}")
        if there[m] and m != trunk:
            state.rows[asker] = rows
            rows = rows + state.heard(asker, m, attention) if trunk is not None else rows + attention @ first.rows[m]
    rows = rows + next(order) @ rows
    return watch.gain("state") @ rows


def load_network(strategy: str, path: Path) -> FusionNetwork:
    """A strategy's network with its weights from a safetensors file.

    Raises:
        SensorfuseError: unknown strategy, unreadable file, or weights of another network.
    """
    from safetensors.torch import load_file

    network = FusionNetwork(strategy)
    try:
        network.load_state_dict(load_file(path))
    except Exception as error:  # safetensors raises its own class for a bad file, torch RuntimeError for other names
        words = " ".join(str(error).split())[:200]
        raise SensorfuseError(f"{path}: no weights of {strategy}: {words}") from None
    return network.eval()


def object_relevance(
    network: FusionNetwork, inputs: Mapping[str, NDArray[np.float32]], objects: Detections
) -> dict[Modality, NDArray[np.float64]]:
    """Per map modality that is present, where the scores of `objects` were read from: (64, 64), spread over patches.

    `inputs` are a fusion network's, batch of one; what is explained is the sum of the heatmap's logits at the objects.

    Raises:
        SensorfuseError: the network's strategy does not attend.
    """
    features = [torch.from_numpy(inputs[m]) for m in MODALITIES]
    present = torch.from_numpy(inputs["present"])
    tokens = [
        x.flatten(2).transpose(1, 2) if m in SPATIAL else x[:, None] for m, x in zip(MODALITIES, features, strict=True)
    ]

    def logits(fused: Tensor) -> Tensor:
        heat = network.detect(fused.transpose(1, 2).unflatten(2, (GRID.cells, GRID.cells)))[0][0]
        cells = object_cells(torch.sigmoid(heat.detach()).double().numpy(), objects)
        return torch.stack([heat[cell] for cell in cells]).sum()

    network.eval()
    found = token_relevance(network.on_grid, tokens, present, logits)
    layout = layout_of(network.on_grid)
    out: dict[Modality, NDArray[np.float64]] = {}
    for m, modality in enumerate(MODALITIES):
        if modality in SPATIAL and present[0, m] > 0.5:
            spread = (found[m] / layout.cells)[None, :, None].repeat(1, 1, layout.cells)
            out[modality] = layout.to_cells(spread)[0, :, 0].reshape(GRID.cells, GRID.cells).double().numpy()
    return out

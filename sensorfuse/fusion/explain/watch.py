"""Watching a network at work: its attention maps, and what flows through its parts, with gradients. Torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class Caught(TorchFunctionMode):
    """Catches the attention maps (B, heads, N, K) of what runs inside, in order, and keeps their gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.maps: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is torch.softmax and out.dim() == 4:
            out.retain_grad()
            self.maps.append(out)
        return out


class Watch:
    """Hooks on a method's parts: the values that flow through them, with gradients. Use as a context manager."""

    def __init__(self) -> None:
        self._handles: list[Any] = []
        self.seen: dict[str, Tensor] = {}

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *exception: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _keep(self, name: str, value: Tensor) -> Tensor:
        value.retain_grad()
        self.seen[name] = value
        return value

    def input(self, name: str, module: nn.Module) -> None:
        """What is given to the module."""
        self._handles.append(module.register_forward_pre_hook(lambda _, given: (self._keep(name, given[0]),)))

    def copy(self, name: str, module: nn.Module) -> None:
        """A copy of what is given to the module, so that only its use there counts."""
        hook: Callable[..., Any] = lambda _, given: (self._keep(name, given[0].clone()),)  # noqa: E731
        self._handles.append(module.register_forward_pre_hook(hook))

    def output(self, name: str, module: nn.Module) -> None:
        """What the module gives."""
        self._handles.append(module.register_forward_hook(lambda _, given, out: self._keep(name, out)))

    def factor(self, name: str, module: nn.Module, places: int) -> None:
        """A factor of 1 per place on what the module gives (B, 1 or N, W): an attention map of a single key."""

        def hook(_: nn.Module, given: Any, out: Tensor) -> Tensor:
            ones = torch.ones(out.shape[0], places, 1, requires_grad=True)
            self.seen[name] = ones
            return out * ones

        self._handles.append(module.register_forward_hook(hook))

    def gain(self, name: str) -> Tensor:
        """(gradient x value)+ of what was kept, summed over its features: (N,)."""
        value = self.seen[name]
        if value.grad is None:
            return torch.zeros(value.shape[1])
        return (value.grad * value.detach())[0].sum(dim=-1).clamp_min(0)

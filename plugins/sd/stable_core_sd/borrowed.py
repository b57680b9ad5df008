"""Weights that are elsewhere, or in a smaller format, while nothing uses them. It decides nothing about when."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

Convert = Callable[[Tensor], Tensor]


class Borrowed:
    """The weights of a module; `lend` replaces them by what `convert` makes of them, `take_back` undoes it.

    Whatever was put in their place meanwhile stays, on the device of the first ones.
    """

    def __init__(self, tensors: Iterable[Tensor], convert: Convert) -> None:
        self._tensors, self._convert = list(tensors), convert
        self._kept: list[tuple[Tensor, Tensor, Tensor]] = []

    def lend(self) -> None:
        """Convert the weights, once."""
        if not self._kept:
            with torch.inference_mode(False), torch.no_grad():
                for tensor in self._tensors:
                    first = tensor.data
                    tensor.data = self._convert(first)
                    self._kept.append((tensor, first, tensor.data))

    def take_back(self) -> None:
        """Put the first weights back."""
        with torch.inference_mode(False), torch.no_grad():
            for tensor, first, lent in self._kept:
                is_same = tensor.data.data_ptr() == lent.data_ptr()
                tensor.data = first if is_same else tensor.data.to(first.device)
        self._kept = []


class Hooks:
    """Hooks in modules that can all be removed again, with the weights they borrow."""

    def __init__(self) -> None:
        self._handles: list[Any] = []
        self._borrowed: list[Borrowed] = []
        self._present: Borrowed | None = None

    def while_running(self, module: nn.Module, tensors: Iterable[Tensor], convert: Convert) -> None:
        """Convert weights whenever the module runs, and take them back after it."""
        borrowed = self._add(tensors, convert)
        self._handles.append(module.register_forward_pre_hook(lambda *_: borrowed.lend()))
        self._handles.append(module.register_forward_hook(lambda *_: borrowed.take_back(), always_call=True))

    def one_at_a_time(self, modules: Iterable[nn.Module], tensors: Iterable[Tensor], convert: Convert) -> None:
        """Convert weights when one of the modules runs; they stay so until weights of another such call are needed."""
        borrowed = self._add(tensors, convert)

        def take_turn(*_: Any) -> None:
            if self._present is not borrowed:
                if self._present:
                    self._present.take_back()
                self._present = borrowed
            borrowed.lend()

        self._handles += [module.register_forward_pre_hook(take_turn) for module in modules]

    def rest(self) -> None:
        """Take all weights back until a module runs again."""
        for borrowed in reversed(self._borrowed):
            borrowed.take_back()
        self._present = None

    def remove(self) -> None:
        """Take all weights back and let the modules run as before."""
        for handle in self._handles:
            handle.remove()
        self.rest()
        self._handles, self._borrowed = [], []

    def _add(self, tensors: Iterable[Tensor], convert: Convert) -> Borrowed:
        self._borrowed.append(Borrowed(tensors, convert))
        return self._borrowed[-1]


def weights_of(module: nn.Module) -> list[Tensor]:
    """Return all weights and buffers of a module."""
    return [*module.parameters(), *module.buffers()]

"""The arithmetic of merging checkpoints, tensor by tensor. It opens and writes no file.

Source: the behaviour of A1111's checkpoint merger, so that the same recipe gives the same numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from stable_core.sdk import InvalidParams
from stable_core_sd.params_models import MergeMethod

Tensors = Mapping[str, torch.Tensor]

VAE_START = "first_stage_model."
_EXTRA_CHANNELS = {9: ".inpainting", 8: ".instruct-pix2pix"}
_INPUTS = {"Weighted sum": "AB", "Add difference": "ABC", "No interpolation": "A"}


@dataclass(frozen=True)
class Recipe:
    """How parents become one."""

    method: MergeMethod
    multiplier: float
    as_half: bool = False
    discard: str = ""
    """A regular expression; tensors whose names contain it are left out."""
    merges_all: bool = False
    """Every tensor takes part, not only those with `model` in their names."""

    @property
    def needs(self) -> str:
        """Return which parents take part: `A`, `AB` or `ABC`."""
        return _INPUTS[self.method]


@dataclass(frozen=True)
class Parents:
    """The models that are merged, each by the names of its tensors."""

    a: Tensors
    b: Tensors | None = None
    c: Tensors | None = None
    vae: Tensors | None = None
    """A VAE that replaces that of A, with names that lack `first_stage_model.`."""

    @classmethod
    def of(cls, models: Sequence[Tensors], vae: Tensors | None = None) -> Parents:
        """Return A, or A and B, or A, B and C."""
        a, b, c, *_ = [*models, None, None]
        assert a is not None
        return cls(a, b, c, vae)


def check_parents(recipe: Recipe, has_b: bool, has_c: bool) -> None:
    """Make sure that all parents are there.

    Raises:
        InvalidParams: one that the method needs is missing.
    """
    if "B" in recipe.needs and not has_b:
        raise InvalidParams("Merging requires a secondary model.", "Choose model B.")
    if "C" in recipe.needs and not has_c:
        raise InvalidParams(f"Interpolation method ({recipe.method}) requires a tertiary model.", "Choose model C.")


def merged_names(parents: Parents, recipe: Recipe) -> list[str]:
    """Return the names of the result: those of A, without the discarded ones."""
    return [name for name in parents.a if not (recipe.discard and re.search(recipe.discard, name))]


def merged_tensor(name: str, parents: Parents, recipe: Recipe) -> torch.Tensor:
    """Return one tensor of the result; with parents on the meta device, one without numbers.

    With `as_half` those that only A has stay as they are, as in A1111; `No interpolation` halves everything.

    Raises:
        InvalidParams: shapes do not fit.
    """
    baked = parents.vae.get(name.removeprefix(VAE_START)) if parents.vae and name.startswith(VAE_START) else None
    if baked is not None:
        return _halved(baked, recipe.as_half)
    a = parents.a[name]
    if not takes_part(name, parents, recipe):
        return _halved(a, recipe.as_half and recipe.method == "No interpolation")
    assert parents.b is not None
    b = parents.b[name]
    if recipe.method == "Add difference":
        assert parents.c is not None
        b = _difference(name, b, parents.c)
    return _halved(_mixed(name, a, b, recipe), recipe.as_half)


def takes_part(name: str, parents: Parents, recipe: Recipe) -> bool:
    """Tell whether a tensor of A is mixed with others, or taken as it is."""
    if recipe.needs == "A" or parents.b is None or name not in parents.b:
        return False
    if name.endswith("text_model.embeddings.position_ids"):  # a plain count that nothing should be mixed into
        return False
    return recipe.merges_all or "model" in name


def special_ending(parents: Parents, recipe: Recipe) -> str:
    """Return `.inpainting` or `.instruct-pix2pix` where A has channels for a picture that B has not, else nothing.

    Both parents may hold tensors on the meta device: only their shapes are looked at.
    """
    for name in parents.a:
        if takes_part(name, parents, recipe):
            assert parents.b is not None
            if ending := _ending(parents.a[name].shape, parents.b[name].shape):
                return ending
    return ""


def default_name(recipe: Recipe, names: Sequence[str]) -> str:
    """Return what the result is called after its parents: `0.7(A) + 0.3(B)`, `A + 0.3(B - C)` or `A`."""
    a, b, c, *_ = [*names, "", ""]
    share = round(recipe.multiplier, 2)
    if recipe.method == "Weighted sum":
        return f"{round(1 - recipe.multiplier, 2)}({a}) + {share}({b})"
    return f"{a} + {share}({b} - {c})" if recipe.method == "Add difference" else a


def _difference(name: str, b: torch.Tensor, c: Tensors) -> torch.Tensor:
    """Return what B has learned since C; nothing where C has no such tensor."""
    if name not in c:
        return torch.zeros_like(b)
    if c[name].shape != b.shape:
        raise _unlike(name, "B", b, "C", c[name])
    return b - c[name]


def _mixed(name: str, a: torch.Tensor, b: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Mix A with B (or with a difference); where A has more input channels than B, only the first 4 of them."""
    if _ending(a.shape, b.shape):
        mixed = a.clone()
        mixed[:, 0:4] = _combined(a[:, 0:4], b, recipe)
        return mixed
    if a.shape != b.shape:
        hint = "The model for inpainting or instruct-pix2pix has to be A." if a.shape[1:2] == (4,) else ""
        raise _unlike(name, "A", a, "B", b, hint)
    return _combined(a, b, recipe)


def _combined(a: torch.Tensor, b: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    if recipe.method == "Add difference":
        return a + b * recipe.multiplier
    return (1 - recipe.multiplier) * a + recipe.multiplier * b


def _ending(a: torch.Size, b: torch.Size) -> str:
    """Return the ending for a convolution with more input channels in A than the 4 in B."""
    is_alike = len(a) == len(b) and len(a) > 1 and (a[0], *a[2:]) == (b[0], *b[2:])
    return _EXTRA_CHANNELS.get(a[1], "") if is_alike and b[1] == 4 else ""


def _halved(tensor: torch.Tensor, is_wanted: bool) -> torch.Tensor:
    return tensor.half() if is_wanted and tensor.dtype == torch.float32 else tensor


def _unlike(name: str, one: str, x: torch.Tensor, other: str, y: torch.Tensor, hint: str = "") -> InvalidParams:
    shapes = f"{list(x.shape)} in {one} and {list(y.shape)} in {other}"
    return InvalidParams(f"{name} has the shape {shapes}.", hint or "Merge models of the same kind.")

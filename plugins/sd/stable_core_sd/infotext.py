"""Infotext: the generation data of a picture as text, in A1111's format. Reading it is in infotext_reader.

Source of the format: A1111 1.10, as its pictures carry it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stable_core_sd.names import Sampler

FIRST_KEYS = (
    "Steps",
    "Sampler",
    "Schedule type",
    "CFG scale",
    "Image CFG scale",
    "Seed",
    "Face restoration",
    "Size",
    "Model hash",
    "Model",
    "FP8 weight",
    "Cache FP16 weight for LoRA",
    "VAE hash",
    "VAE",
    "Variation seed",
    "Variation seed strength",
    "Seed resize from",
    "Denoising strength",
    "Conditional mask weight",
    "Clip skip",
    "ENSD",
    "Token merging ratio",
    "Token merging ratio hr",
    "Init image hash",
    "RNG",
    "Tiling",
)
"""These stand in front, in this order; those of the features follow in the order in which they were given."""

LAST_KEYS = ("Version", "User")


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What is known about every picture, whatever feature made it.

    Attributes:
        variation_strength: 0 says that the variation seed had no part in it.
        resize_from: width and height of a seed resize; it counts only if both are above 0.
        ensd: what was added to the seed for the noise of the steps; 0 if the sampler took none of it.
        features: the pairs of the features, in their order; one with a key of A1111's own replaces its value.
    """

    steps: int
    sampler: str
    scheduler: str
    cfg_scale: float
    seed: int
    width: int
    height: int
    image_cfg_scale: float | None = None
    face_restoration: str | None = None
    model_hash: str | None = None
    model: str | None = None
    vae_hash: str | None = None
    vae: str | None = None
    variation_seed: int = 0
    variation_strength: float = 0
    resize_from: tuple[int, int] = (0, 0)
    mask_weight: float | None = None
    clip_skip: int = 1
    ensd: int = 0
    token_merging: float = 0
    token_merging_hires: float = 0
    noise_source: str = "GPU"
    tiling: bool = False
    version: str | None = None
    user: str | None = None
    features: Mapping[str, Any] = field(default_factory=dict)

    def pairs(self) -> dict[str, Any]:
        """Return the pairs by A1111's keys; None stands for what is not written, because it has its default."""
        varied = self.variation_strength != 0
        resized = min(self.resize_from) > 0
        return {
            "Steps": self.steps,
            "Sampler": self.sampler,
            "Schedule type": self.scheduler,
            "CFG scale": self.cfg_scale,
            "Image CFG scale": self.image_cfg_scale,
            "Seed": self.seed,
            "Face restoration": self.face_restoration,
            "Size": f"{self.width}x{self.height}",
            "Model hash": self.model_hash,
            "Model": self.model,
            "VAE hash": self.vae_hash,
            "VAE": self.vae,
            "Variation seed": self.variation_seed if varied else None,
            "Variation seed strength": self.variation_strength if varied else None,
            "Seed resize from": "{}x{}".format(*self.resize_from) if resized else None,
            "Conditional mask weight": self.mask_weight,
            "Clip skip": self.clip_skip if self.clip_skip > 1 else None,
            "ENSD": self.ensd or None,
            "Token merging ratio": self.token_merging or None,
            "Token merging ratio hr": self.token_merging_hires or None,
            "RNG": self.noise_source if self.noise_source != "GPU" else None,
            "Tiling": True if self.tiling else None,
            **self.features,
            "Version": self.version,
            "User": self.user,
        }


def takes_seed_delta(sampler: Sampler, eta: float | None) -> bool:
    """Tell whether the noise of the steps has seeds of its own with this sampler; `eta` of None is the default."""
    return sampler.uses_ensd and eta != 0


def write_infotext(prompt: str, negative_prompt: str, pairs: Mapping[str, Any]) -> str:
    """Return the prompt, the negative prompt if there is one, and a line of `key: value` pairs.

    The pairs are put in A1111's order. None is left out; a value that is equal to its key is written as the key alone.
    """
    names = [*FIRST_KEYS, *(key for key in pairs if key not in FIRST_KEYS + LAST_KEYS), *LAST_KEYS]
    known = {key: pairs[key] for key in names if pairs.get(key) is not None}
    line = ", ".join(key if key == value else f"{key}: {quote(value)}" for key, value in known.items())
    negative = f"\nNegative prompt: {negative_prompt}" if negative_prompt else ""
    return f"{prompt}{negative}\n{line}".strip()


def quote(value: Any) -> Any:
    """Return a value as the line of pairs takes it: as JSON if its text holds a comma, a colon or a line break."""
    return json.dumps(value, ensure_ascii=False, default=str) if any(mark in str(value) for mark in ",\n:") else value


def unquote(text: str) -> str:
    """Return what was quoted; a text that is no whole JSON string stays as it is."""
    if len(text) < 2 or not (text[0] == text[-1] == '"'):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text

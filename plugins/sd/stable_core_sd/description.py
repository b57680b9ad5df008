"""The description of a picture: which of its params are written into its infotext. How that is written is in infotext.

Source of the keys, their order and when they are left out: A1111 1.10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stable_core_sd import __version__
from stable_core_sd.facts import sampling_facts
from stable_core_sd.infotext import RunFacts, takes_seed_delta, write_infotext
from stable_core_sd.infotext_reader import uses_emphasis
from stable_core_sd.names import find_sampler
from stable_core_sd.params import HiresParams, Img2ImgParams, InpaintParams, RunParams, Txt2ImgParams
from stable_core_sd.schedules import SigmaTable, training_betas

VERSION = f"stable-core-sd {__version__}"


def stable_diffusion_table() -> SigmaTable:
    """Return the noise levels that all models of Stable Diffusion 1 and XL were trained on."""
    return SigmaTable(training_betas("scaled_linear", 0.00085, 0.012, 1000))


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """What only the run knows of one picture.

    Attributes:
        prompt: with its styles and without its comments; so is the negative prompt.
        size: of the first pass, in pixels.
        has_mask: only a part of a picture was changed; with `has_region` nothing else was looked at.
        features: pairs of features that have no params of their own, such as the hashes of networks.
        task: of the checkpoint: text, inpainting or instruct-pix2pix.
        table: the noise levels of the model.
    """

    prompt: str
    negative_prompt: str
    seed: int
    size: tuple[int, int]
    model: str
    model_hash: str | None = None
    vae: str | None = None
    vae_hash: str | None = None
    variation_seed: int = 0
    has_mask: bool = False
    has_region: bool = False
    task: str = ""
    features: Mapping[str, Any] = field(default_factory=dict)
    table: SigmaTable = field(default_factory=stable_diffusion_table)


def describe_picture(params: RunParams, facts: PictureFacts) -> str:
    """Return the infotext of one picture of a run."""
    start = params if isinstance(params, Img2ImgParams) else None
    hires = params.hires if isinstance(params, Txt2ImgParams) and params.hires.enabled else None
    sampler = find_sampler(params.sampler)
    has_own_seeds = sampler is not None and takes_seed_delta(sampler, params.noise.eta)
    known = RunFacts(
        steps=params.steps,
        sampler=params.sampler,
        scheduler=params.scheduler,
        cfg_scale=params.cfg_scale,
        seed=facts.seed,
        width=facts.size[0],
        height=facts.size[1],
        model_hash=facts.model_hash,
        model=facts.model,
        vae_hash=facts.vae_hash,
        vae=facts.vae,
        variation_seed=facts.variation_seed,
        variation_strength=params.variation.strength,
        resize_from=(params.variation.resize_from_width, params.variation.resize_from_height),
        image_cfg_scale=start.image_cfg_scale if start and facts.task == "instruct-pix2pix" else None,
        mask_weight=start.inpaint.mask_weight if start and facts.task == "inpainting" else None,
        face_restoration=params.faces.model if params.restore_faces else None,
        clip_skip=params.text.clip_skip,
        ensd=params.noise.seed_delta if has_own_seeds else 0,
        token_merging=params.token_merging_ratio,
        token_merging_hires=hires.token_merging_ratio or params.token_merging_ratio if hires else 0,
        noise_source=params.noise.source,
        tiling=params.tiling,
        version=VERSION,
        features={**_features(params, hires, facts), **facts.features, **params.more_parameters},
    )
    return write_infotext(facts.prompt, facts.negative_prompt, known.pairs())


def _features(params: RunParams, hires: HiresParams | None, facts: PictureFacts) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    if hires:
        pairs |= _hires(hires, params.sampler, facts)
    if isinstance(params, Img2ImgParams):
        pairs |= {
            "Denoising strength": params.denoising_strength,
            "Noise multiplier": _unless(params.noise_multiplier, 1),
            "Extra noise": _unless(params.extra_noise, 0),
        }
        pairs |= _inpaint(params.inpaint, facts.has_region) if facts.has_mask else {}
    return pairs | sampling_facts(params, facts.table) | _prompts(params, facts)


def _unless(value: Any, default: Any) -> Any:
    """Return a value, or None for the default, which is not written."""
    return None if value == default else value


def _hires(hires: HiresParams, sampler: str, facts: PictureFacts) -> dict[str, Any]:
    """Return what is said of the second pass; what is as in the first is not said."""
    has_size = bool(hires.width or hires.height)
    return {
        "Denoising strength": hires.denoising_strength,
        "Hires checkpoint": hires.checkpoint or None,
        "Hires sampler": _unless(hires.sampler, sampler) or None,
        "Hires schedule type": hires.scheduler or None,
        "Hires prompt": _unless(hires.prompt, facts.prompt) or None,
        "Hires negative prompt": _unless(hires.negative_prompt, facts.negative_prompt) or None,
        "Hires resize": f"{hires.width}x{hires.height}" if has_size else None,
        "Hires upscale": None if has_size else hires.scale,
        "Hires steps": hires.steps or None,
        "Hires upscaler": hires.upscaler,
        "Extra noise": _unless(hires.extra_noise, 0),
    }


def _inpaint(inpaint: InpaintParams, is_part: bool) -> dict[str, Any]:
    is_even = inpaint.mask_blur_x == inpaint.mask_blur_y
    return {
        "Mask mode": "Inpaint not masked" if inpaint.invert else None,
        "Mask blur": _unless(inpaint.mask_blur_x, 0) if is_even else None,
        "Mask blur x": None if is_even else inpaint.mask_blur_x,
        "Mask blur y": None if is_even else inpaint.mask_blur_y,
        "Inpaint area": inpaint.area if is_part else None,
        "Masked area padding": inpaint.padding if is_part else None,
        "Masked content": _unless(inpaint.fill, "original"),
    }


def _prompts(params: RunParams, facts: PictureFacts) -> dict[str, Any]:
    mode = _unless(params.text.emphasis, "Original")
    return {
        "Pad conds": True if params.guidance.pad_texts else None,
        "Pad conds v0": True if params.guidance.pad_texts_old else None,
        "Emphasis": mode if mode and uses_emphasis(facts.prompt, facts.negative_prompt) else None,
        "Old prompt editing timelines": True if params.text.old_editing and "[" in facts.prompt else None,
    }

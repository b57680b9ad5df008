"""Loops: the params of each pass of a run over its own result. Its curve is in loopback."""

from __future__ import annotations

from stable_core.sdk.params import MAX_SEED
from stable_core_sd.invocations.loopback import loop_strengths
from stable_core_sd.params import Img2ImgParams
from stable_core_sd.params_scripts import LoopbackParams, ToldParams, part_of, told_of


def plan_loops(params: LoopbackParams) -> list[list[Img2ImgParams]]:
    """Return the params of the passes of each repetition; every repetition starts from the picture.

    Each pass has the next seed, over all repetitions. What is masked is smeared or emptied in the first pass only.
    """
    strengths = loop_strengths(params.loops, params.denoising_strength, params.final_denoising_strength, params.curve)
    told = {"Final denoising strength": str(params.final_denoising_strength), "Denoising curve": params.curve}
    base = part_of(params, Img2ImgParams).model_copy(
        update={"batch_size": 1, "batch_count": 1, "more_parameters": {**params.more_parameters, **told}}
    )
    later = params.inpaint.model_copy(update={"fill": "original"})
    passes = []
    for repetition in range(params.batch_count):
        own = []
        for index, strength in enumerate(strengths):
            seed = min(params.seed + repetition * params.loops + index, MAX_SEED)
            changed = {"denoising_strength": strength, "seed": seed, "inpaint": later if index else params.inpaint}
            own.append(base.model_copy(update=changed))
        passes.append(own)
    return passes


def told_of_loops(prompt: str, passes: list[Img2ImgParams]) -> ToldParams:
    """Return what the generation data of a sheet of all passes says."""
    return told_of(prompt, passes[0], from_image=True)

"""One run from noise to clean latents, diffusers' way and the sd plugin's, for benchmarks. It measures nothing.

Both are told the same prompts and walk the steps of Euler; the plugin can walk those of any sampler.
"""

from __future__ import annotations

from typing import Any

PROMPT, NEGATIVE, CFG_SCALE, SEED = "a red circle on a blue background", "a green tree", 7.0, 7


def bare_latents(checkpoint: Any, steps: int, size: int, unet: Any = None) -> Any:
    """Return clean latents the way a diffusers pipeline makes them, without the pipeline.

    `unet` runs instead of that of the checkpoint.
    """
    import torch

    unet = unet or checkpoint.unet
    scheduler = _euler_of_diffusers()
    with torch.inference_mode():
        text, added = encoded_texts(checkpoint, steps, size)
        scheduler.set_timesteps(steps, device=checkpoint.device)
        noise = torch.randn(1, 4, size // 8, size // 8, generator=torch.Generator().manual_seed(SEED))
        latents = noise.to(checkpoint.device, unet.dtype) * scheduler.init_noise_sigma
        for timestep in scheduler.timesteps:
            scaled = scheduler.scale_model_input(torch.cat([latents] * 2), timestep)
            output = unet(scaled, timestep, encoder_hidden_states=text, added_cond_kwargs=added, return_dict=False)[0]
            negative, prompted = output.chunk(2)
            output = negative + CFG_SCALE * (prompted - negative)
            latents = scheduler.step(output, timestep, latents, return_dict=False)[0]
    return latents


def encoded_texts(checkpoint: Any, steps: int, size: int) -> tuple[Any, dict[str, Any]]:
    """Return what a UNet is told of the negative prompt and the prompt: (2, 77, width), and what XL is told beside."""
    import torch

    from stable_core_sd.params import TextParams
    from stable_core_sd.prompt.editing import StepCount
    from stable_core_sd.size_conditions import SizeConditions, added_conditions
    from stable_core_sd.text_schedule import ScheduleEncoder

    encode = ScheduleEncoder(checkpoint, TextParams(), {})
    texts = [encode(prompt, StepCount(steps)).at(0) for prompt in (NEGATIVE, PROMPT)]
    pooled = None if texts[0].pooled is None else torch.stack([text.pooled for text in texts])
    added = added_conditions(checkpoint.kind, pooled, SizeConditions(size, size))
    return torch.stack([text.hidden for text in texts]), added


def own_latents(
    checkpoint: Any, steps: int, size: int, sampler: str = "Euler", seeds: tuple[int, ...] = (SEED,)
) -> Any:
    """Return the clean latents of a batch, made by the plugin as in a job, with progress and without previews."""
    from stable_core.sdk import Progress
    from stable_core_sd.batches import Batch
    from stable_core_sd.params import Txt2ImgParams
    from stable_core_sd.passes import Pass, draw
    from stable_core_sd.report import StepReport

    count = len(seeds)
    params = Txt2ImgParams(cfg_scale=CFG_SCALE, sampler=sampler, steps=steps, preview=False)
    batch = Batch([PROMPT] * count, [NEGATIVE] * count, list(seeds), [0] * count, (size, size))
    return draw(Pass(checkpoint, params, StepReport(Progress(), steps)), batch)


def _euler_of_diffusers() -> Any:
    from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler

    return EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")

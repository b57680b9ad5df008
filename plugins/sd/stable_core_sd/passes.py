"""One pass with a model, from a batch of prompts and seeds to clean latents, from noise or from other latents.

What a run is made of, and what becomes of the latents, is known to engine.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar, cast

import torch

from stable_core_sd.batches import Batch
from stable_core_sd.beside import PictureGuidedDenoiser, beside_text
from stable_core_sd.checkpoint import Checkpoint
from stable_core_sd.checkpoint_store import another_checkpoint
from stable_core_sd.conditioning import Conditioning, condition
from stable_core_sd.denoiser import Denoiser
from stable_core_sd.guidance import plan_guidance
from stable_core_sd.inpaint import Keep
from stable_core_sd.memory import with_less_memory
from stable_core_sd.names import find_sampler
from stable_core_sd.networks.activation import ActiveNetworks, activated
from stable_core_sd.networks.embedding import Embedding
from stable_core_sd.networks.embedding_file import infotext_hashes
from stable_core_sd.noise import ImageNoise, image_noise
from stable_core_sd.outcome import Outcome
from stable_core_sd.params import RunParams, Txt2ImgParams
from stable_core_sd.previewing import preview_of
from stable_core_sd.prompt.editing import StepCount
from stable_core_sd.prompt.extra_networks import take_batch_networks
from stable_core_sd.refiner import RefinedDenoise
from stable_core_sd.report import StepReport
from stable_core_sd.samplers import Denoise, Step
from stable_core_sd.sampling import (
    SamplingPlan,
    plan_from_latents,
    plan_sampling,
    sample,
    start_from_latents,
    start_from_noise,
)
from stable_core_sd.threads import fitting_threads
from stable_core_sd.tiling import tiled
from stable_core_sd.token_merging import merged_tokens
from stable_core_sd.typed_prompts import cut_notes


@dataclass(frozen=True)
class Start:
    """Latents that a pass starts with instead of pure noise.

    Attributes:
        latents: of shape (batch, channels, height / 8, width / 8), or of one picture for the whole batch.
        strength: how much may change, 0 to 1.
        is_exact: all steps are made, not only the share `strength` of them.
        noise_multiplier: how strong the noise on the latents is.
        extra_noise: how much of the same noise is added once more.
        keep: what stays as it is; None is nothing.
        noise: what is put on the latents instead of the noise of the seeds, of their shape.
        calls_before: how often the pass before called the model, if there was one: edits of prompts count on.
        beside: what inpainting and instruct-pix2pix models see of a picture beside the latents.
        picture_scale: how strongly the picture guides an instruct-pix2pix model.
    """

    latents: torch.Tensor
    strength: float
    is_exact: bool = False
    noise_multiplier: float = 1.0
    extra_noise: float = 0.0
    keep: Keep | None = None
    noise: torch.Tensor | None = None
    calls_before: int | None = None
    beside: torch.Tensor | None = None
    picture_scale: float = 1.0


@dataclass(frozen=True)
class Pass:
    """The model, the knobs and the report of one pass.

    Attributes:
        outcome: gathers what there is to tell.
        asked: the denoisers that were set up for the batch under way, the one in use at the end.
        embeddings: those that prompts may name beside the ones in files.
    """

    checkpoint: Checkpoint
    params: RunParams
    report: StepReport
    outcome: Outcome = field(default_factory=Outcome)
    asked: list[Denoiser] = field(default_factory=list)
    embeddings: Mapping[str, Embedding] = field(default_factory=dict)

    @property
    def is_xl(self) -> bool:
        """Return whether the model is a Stable Diffusion XL."""
        return self.checkpoint.kind.size_numbers > 0

    def tiled(self) -> AbstractContextManager[None]:
        """Let the models wrap around the edges inside, if the run wants that."""
        return tiled(self.checkpoint.unet, self.checkpoint.vae, is_on=self.params.tiling)


NOTHING_TO_MERGE = "Token merging has no effect: this model attends at half the size and below only."
UNFINISHED = "The run was interrupted before the last step of this picture."

Run = TypeVar("Run", bound=Callable[..., Any])


def with_retries(run: Run) -> Run:
    """Let a function whose first argument is a pass start again in less memory when memory runs out.

    What was done again, also in 32 bits, is noted.
    """

    @functools.wraps(run)
    def attempt(one: Pass, *arguments: Any) -> Any:
        try:
            return with_less_memory(one.checkpoint, partial(run, one, *arguments), one.outcome.note)
        finally:
            one.outcome.note(*one.checkpoint.take_notes())

    return cast(Run, attempt)


def latent_shape(checkpoint: Checkpoint, size: tuple[int, int]) -> tuple[int, int, int]:
    """Return the shape (channels, height / 8, width / 8) of the latents of a picture of `size` (width, height)."""
    return checkpoint.latent_channels, size[1] // checkpoint.factor, size[0] // checkpoint.factor


def latent_size(checkpoint: Checkpoint, latents: torch.Tensor) -> tuple[int, int]:
    """Return the size (width, height) in pixels of the pictures of latents."""
    return latents.shape[-1] * checkpoint.factor, latents.shape[-2] * checkpoint.factor


def batch_noise(one: Pass, batch: Batch, shape: tuple[int, int, int]) -> ImageNoise:
    """Return fresh generators for the pictures of a batch; `shape` is (channels, height / 8, width / 8)."""
    return image_noise(one.params, shape, batch.seeds, batch.subseeds, one.checkpoint.device)


@with_retries
@torch.inference_mode()
def draw(one: Pass, batch: Batch) -> torch.Tensor:
    """Return clean latents, (pictures, channels, height / 8, width / 8), made from nothing but noise."""
    plan = plan_sampling(one.params, one.checkpoint.sigma_table, one.is_xl)
    noise = batch_noise(one, batch, latent_shape(one.checkpoint, batch.size))
    count = StepCount(model_calls(one.params), None, one.params.text.old_editing)
    with batch_denoiser(one, batch, plan, count, None) as denoise:
        return _sample(one, plan, denoise, start_from_noise(plan, noise), noise)


@with_retries
@torch.inference_mode()
def redraw(one: Pass, batch: Batch, start: Start) -> torch.Tensor:
    """Return clean latents, (pictures, channels, height / 8, width / 8), made from those of `start`."""
    latents = start.latents.expand(len(batch), -1, -1, -1)
    plan = plan_from_latents(one.params, one.checkpoint.sigma_table, start.strength, start.is_exact, one.is_xl)
    if not plan.sigmas:
        return latents
    channels, height, width = latents.shape[1:]
    noise = batch_noise(one, batch, (channels, height, width))
    given = start.noise
    first = noise if given is None else lambda: given
    x = start_from_latents(plan, latents, first, start.noise_multiplier, start.extra_noise)
    calls, is_second = model_calls(one.params), start.calls_before is not None
    count = StepCount(start.calls_before or calls, calls if is_second else None, one.params.text.old_editing)
    with batch_denoiser(one, batch, plan, count, start) as denoise:
        if start.keep is None:
            return _sample(one, plan, denoise, x, noise)
        return start.keep.blend(_sample(one, plan, start.keep.around(denoise, plan.sampler.walks_timesteps), x, noise))


@contextmanager
def batch_denoiser(
    one: Pass, batch: Batch, plan: SamplingPlan, count: StepCount, start: Start | None
) -> Iterator[Denoise]:
    """Give what guesses the clean latents of a batch, with the networks of its first prompt active meanwhile.

    `count` is the steps that edits of prompts are counted in.
    """

    def wanted(denoiser: Denoiser) -> Denoise:
        return denoiser.both if plan.sampler.needs_unconditional else denoiser

    with ExitStack() as stack:
        first = stack.enter_context(_told_denoiser(one, batch, plan, count, start))

        def take_over() -> Denoise:
            knobs = one.params.refiner
            last = replace(one, checkpoint=stack.enter_context(another_checkpoint(knobs.checkpoint)))
            second = stack.enter_context(_told_denoiser(last, batch, plan, count, None))
            stack.enter_context(last.tiled())
            second.calls = first.calls
            named = f"{last.checkpoint.name} [{last.checkpoint.short_hash}]".removesuffix(" [None]")
            one.outcome.pairs.update({"Refiner": named, "Refiner switch at": str(knobs.switch_at)})
            return wanted(second)

        if is_refined(one.params, start):
            yield RefinedDenoise(wanted(first), take_over, one.params.refiner.switch_at, one.checkpoint.sigma_table)
        else:
            yield wanted(first)


def is_refined(params: RunParams, start: Start | None) -> bool:
    """Tell whether the refiner takes part in a pass: of two passes, as in A1111, only in the second."""
    has_second = isinstance(params, Txt2ImgParams) and params.hires.enabled
    is_first = start is None or start.calls_before is None
    return bool(params.refiner.checkpoint) and not (has_second and is_first)


@contextmanager
def _told_denoiser(
    one: Pass, batch: Batch, plan: SamplingPlan, count: StepCount, start: Start | None
) -> Iterator[Denoiser]:
    _, calls = take_batch_networks(batch.prompts)
    ratio = one.params.token_merging_ratio
    with activated(one.checkpoint, calls) as active, merged_tokens(one.checkpoint.unet, ratio) as can_merge:
        if ratio and not can_merge:
            one.outcome.note(NOTHING_TO_MERGE)
        active.embeddings |= one.embeddings
        texts = condition(one.checkpoint, one.params, batch, count, active)
        tell_texts(one, texts, active)
        beside = beside_text(one.checkpoint, batch.size) if start is None or start.beside is None else start.beside
        kind = Denoiser if start is None or start.picture_scale == 1 else PictureGuidedDenoiser
        denoiser = kind(one.checkpoint, texts, plan_guidance(one.params, plan), plan.table, beside)
        if start is not None and isinstance(denoiser, PictureGuidedDenoiser):
            denoiser.picture_scale = start.picture_scale
        one.asked.append(denoiser)
        try:
            yield denoiser
        finally:
            one.asked.remove(denoiser)


def tell_texts(one: Pass, texts: Conditioning, active: ActiveNetworks) -> None:
    """Note what became of the texts and networks of a pass."""
    one.outcome.note(*active.notes)
    for tokens in texts.dropped:
        one.outcome.note(*cut_notes(len(tokens), one.checkpoint.tokenizer.text_of(tokens)))
    hashes = infotext_hashes(texts.embeddings)
    one.outcome.pairs.update({"TI hashes": hashes} if hashes else {}, **active.infotext)


def model_calls(params: RunParams) -> int:
    """Return how often a pass with these knobs calls the model, if it makes all its steps."""
    sampler = find_sampler(params.sampler)
    return params.steps * (2 if sampler is not None and sampler.is_second_order else 1)


def _sample(one: Pass, plan: SamplingPlan, denoise: Denoise, x: torch.Tensor, noise: ImageNoise) -> torch.Tensor:
    knobs = one.params.previews
    show = preview_of(one.checkpoint, knobs, one.outcome, lambda: one.asked[-1]) if one.params.preview else None

    def on_step(index: int, step: Step) -> None:
        is_due = index % knobs.every == knobs.every - 1
        one.report.step(plan.steps, show if is_due else None, step)

    with one.tiled(), fitting_threads(one.checkpoint.unet, x):
        latents = sample(plan, denoise, x, noise, on_step, lambda: one.report.should_stop)
    one.report.done += plan.steps
    if one.report.is_interrupted:
        one.outcome.note(UNFINISHED)
    return latents

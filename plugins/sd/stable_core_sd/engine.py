"""A run from prompt to pictures: the order of its parts, which live in modules of their own. Nothing is saved here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from stable_core.sdk import Progress
from stable_core_sd import hires, img2img
from stable_core_sd.batches import Batch, batches
from stable_core_sd.checkpoint import Checkpoint
from stable_core_sd.checkpoint_list import find_checkpoint
from stable_core_sd.checkpoint_store import open_checkpoint
from stable_core_sd.description import PictureFacts, describe_picture
from stable_core_sd.faces.files import check_files
from stable_core_sd.faces.restoration import NO_FACE, restore_faces
from stable_core_sd.images.grids import with_sheet
from stable_core_sd.images.source import Source, prepare_source
from stable_core_sd.latents import decode_latents
from stable_core_sd.outcome import Outcome
from stable_core_sd.params import Img2ImgParams, RunParams, Txt2ImgParams
from stable_core_sd.passes import Pass, Start, draw, latent_size, redraw, with_retries
from stable_core_sd.ports import Picture
from stable_core_sd.report import StepReport
from stable_core_sd.settings import SdSettings, Storage
from stable_core_sd.typed_prompts import finish_prompts
from stable_core_sd.upscale_models import upscaler

STORAGES: dict[str, Storage] = {"Disable": "full", "Enable for SDXL": "fp8 for XL", "Enable": "fp8"}
"""What A1111's words for weights of 8 bits are in the settings."""

BLANK_MASK = "The mask is blank, so the whole picture was changed."


def generate(
    prompt: str, params: Txt2ImgParams, progress: Progress, settings: SdSettings | None = None
) -> Iterator[Image.Image]:
    """Yield the pictures of a run from text as they are decoded.

    Raises:
        InvalidParams: there is no such checkpoint or upscaler, or it cannot be used.
        JobCancelled: out of `progress`, within one step.
    """
    yield from with_sheet(_from_text(prompt, params, progress, settings or SdSettings()), params.grid)


def _from_text(prompt: str, params: Txt2ImgParams, progress: Progress, settings: SdSettings) -> Iterator[Image.Image]:
    prompt, params, notes = finish_prompts(prompt, params, settings.hypernetwork)
    second = hires.second_params(params) if params.hires.enabled else None
    report, outcome = StepReport(progress, params.total_steps), Outcome(notes)
    one = Pass(load(params, report, settings), params, report, outcome)
    size, sizes = hires.plan_sizes(one.checkpoint, params)
    for batch in batches(prompt, params, size):
        if second and second.checkpoint != params.checkpoint:  # that of the second pass has taken its place
            one = Pass(load(params, report, settings), params, report, outcome)
        last, latents = one, draw(one, batch)
        if second and not report.should_stop:
            last = Pass(load(second, report, settings), second, report, outcome)
            larger = hires.enlarge(one, last, latents, params.hires.upscaler, sizes)
            enlarged = hires.second_batch(batch, params.hires, latent_size(last.checkpoint, larger))
            latents = redraw(last, enlarged, hires.start_of(larger, params))
        if report.takes_skip():
            continue
        for index, picture in enumerate(decoded(last, latents)):
            yield with_infotext(picture, one, batch, index)
        if report.is_interrupted:
            break


def repaint(
    given: Picture, params: Img2ImgParams, progress: Progress, settings: SdSettings | None = None
) -> Iterator[Image.Image]:
    """Yield the pictures of a run from a picture as they are decoded.

    Raises:
        As `generate`.
    """
    run = open_repaint(given, params, StepReport(progress, params.total_steps), settings or SdSettings())
    yield from with_sheet(run.pictures(run.start_of), params.grid)


@dataclass(frozen=True)
class Repaint:
    """A run from a picture before its first batch: everything is loaded, and the picture is encoded.

    Attributes:
        prompt: with its styles and without its comments; so is the negative one in `params`.
        size: (width, height) that is drawn, in pixels.
    """

    one: Pass
    params: Img2ImgParams
    prompt: str
    size: tuple[int, int]
    source: Source
    encoded: img2img.Encoded

    def start_of(self, batch: Batch) -> Start:
        """Return what the pass of one batch starts with."""
        return img2img.start_of(self.one, self.encoded, self.source, self.params, batch)

    def pictures(
        self, start_of: Callable[[Batch], Start], features: Mapping[str, Any] | None = None
    ) -> Iterator[Image.Image]:
        """Yield the pictures of all batches as they are decoded.

        Args:
            features: pairs of generation data that have no params in a run.
        """
        report = self.one.report
        for batch in batches(self.prompt, self.params, self.size):
            latents = redraw(self.one, batch, start_of(batch))
            if report.takes_skip():
                continue
            for index, picture in enumerate(decoded(self.one, latents)):
                finished = self.source.finish(picture, self.params)
                yield with_infotext(finished, self.one, batch, index, self.source, features)
                for extra in self.source.extras(picture, self.params.inpaint):
                    yield with_infotext(extra, self.one, batch, index, self.source, features)
            if report.is_interrupted:
                break


def open_repaint(given: Picture, params: Img2ImgParams, report: StepReport, settings: SdSettings) -> Repaint:
    """Return a run from a picture, loaded and encoded.

    Raises:
        As `generate`.
    """
    prompt, params, notes = finish_prompts(given.prompt, params, settings.hypernetwork)
    one = Pass(load(params, report, settings), params, report, Outcome(notes))
    size = img2img.run_size(given, params, one.checkpoint.native_size)
    source = prepare_source(given, params, size, upscaler(params.upscaler))
    if given.mask is not None and source.mask is None:
        one.outcome.note(BLANK_MASK)
    return Repaint(one, params, prompt, size, source, img2img.encode_source(one, source, params, size))


def load(params: RunParams, report: StepReport, settings: SdSettings) -> Checkpoint:
    """Return the checkpoint of a run.

    Raises:
        InvalidParams: there is none of that name, or it cannot be used; or there is no such refiner, or no network
            that restores faces though that is asked for.
    """
    if params.refiner.checkpoint:
        find_checkpoint(params.refiner.checkpoint)
    if params.restore_faces:
        check_files(params.faces.model)
    report.say(f"Loading {params.checkpoint}")
    storage = STORAGES.get(params.fp8, settings.storage)
    return open_checkpoint(params.checkpoint, params.vae, settings.model_copy(update={"storage": storage}))


def decoded(one: Pass, latents: torch.Tensor) -> Iterator[Image.Image]:
    """Yield the pictures of clean latents of shape (pictures, channels, height / 8, width / 8), faces restored."""
    for index, latent in enumerate(latents):
        one.report.say(f"Decoding picture {index + 1} of {len(latents)}")
        picture = decoded_picture(one, latent)
        yield with_faces(one, picture) if one.params.restore_faces else picture


@with_retries
def decoded_picture(one: Pass, latent: torch.Tensor) -> Image.Image:
    """Return the picture of one clean latent of shape (channels, height / 8, width / 8)."""
    with one.tiled():
        return decode_latents(one.checkpoint, latent)


@with_retries
def with_faces(one: Pass, picture: Image.Image) -> Image.Image:
    """Return a picture with its faces restored as the run asks for."""
    knobs = one.params.faces
    made = restore_faces(picture, knobs.model, knobs.weight, one.report.say)
    if made is None:
        one.outcome.note(NO_FACE)
    return made or picture


def with_infotext(
    picture: Image.Image,
    one: Pass,
    batch: Batch,
    index: int,
    source: Source | None = None,
    features: Mapping[str, Any] | None = None,
) -> Image.Image:
    """Return the picture number `index` of a batch with its notes and its generation data.

    Args:
        source: what a run from a picture started with.
        features: pairs of a job that have no params in a run.
    """
    checkpoint = one.checkpoint
    if one.outcome.notes:
        picture.info["notes"] = list(one.outcome.notes)
    if one.params.save_parameters:
        more = {**(features or {}), **one.outcome.pairs}
        if checkpoint.plan.fp8:
            more["FP8 weight"] = one.params.fp8 if one.params.fp8 in STORAGES else "Enable"
        facts = PictureFacts(
            prompt=batch.prompts[index],
            negative_prompt=batch.negative_prompts[index],
            seed=batch.seeds[index],
            variation_seed=batch.subseeds[index],
            size=batch.size,
            model=checkpoint.name,
            model_hash=checkpoint.short_hash,
            vae=checkpoint.vae_name,
            vae_hash=checkpoint.vae_hash,
            task=checkpoint.task,
            has_mask=source is not None and source.mask is not None,
            has_region=source is not None and source.region is not None,
            features=more,
            table=checkpoint.sigma_table,
        )
        picture.info["parameters"] = describe_picture(one.params, facts)
    return picture

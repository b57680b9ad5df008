"""Wirings that both type checkers must accept. Checked by test_typing, never run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_type

from stable_core.sdk import Data, Field, Image, Job, Mask, Params, Plugin, Progress, Seed, Text

plugin = Plugin("typed")


class Txt2ImgParams(Params):
    steps: int = Field(default=20, ge=1, le=150, description="Denoising steps", component="slider")
    seed: Seed = -1


class UpscaleParams(Params):
    scale: int = Field(default=2, ge=2, le=8, description="Enlargement factor")


@dataclass
class Layers:
    base: Image
    mask: Mask


@plugin.job
def txt2img(prompt: Text, params: Txt2ImgParams, progress: Progress) -> Image:
    return Image()


@plugin.job(cached=False, timeout_seconds=60)
def batch(prompt: Text, params: Txt2ImgParams, progress: Progress) -> list[Image]:
    return []


@plugin.job
def frames(prompt: Text, params: Txt2ImgParams, progress: Progress) -> Iterator[Image]:
    yield Image()


@plugin.job
def upscale(image: Image, params: UpscaleParams, progress: Progress) -> Image:
    """Enlarge an image."""
    return image.resize((image.width * params.scale, image.height * params.scale))


@plugin.job
def grid(images: list[Image], params: Params, progress: Progress) -> Image:
    return images[0]


@plugin.job
def paint(base: Image, mask: Mask | None, params: Params, progress: Progress) -> Image:
    return base


@plugin.job
def composite(base: Image, overlay: Image, mask: Mask | None, params: Params, progress: Progress) -> Image:
    return base


@plugin.job
def flatten(layers: Layers, params: Params, progress: Progress) -> Image:
    return layers.base


@plugin.job
def empty(params: UpscaleParams, progress: Progress) -> Image:
    return Image()


@plugin.job
def caption(image: Image, params: Params, progress: Progress) -> Text:
    return "a cat"


@plugin.job
def tags(image: Image, params: Params, progress: Progress) -> Data:
    return Data({"cat": 0.9})


@plugin.job
def montage(titles: list[Text], images: list[Image], params: Params, progress: Progress) -> Image:
    return images[0]


@plugin.invocation
def hires(prompt: Text, params: Txt2ImgParams) -> list[Job[Image]]:
    """Sketch small, then enlarge: one invocation, two jobs."""
    return [upscale.job(txt2img.job(prompt, params), UpscaleParams(scale=2))]


@plugin.invocation
def sketch(prompt: Text, params: Txt2ImgParams) -> Job[Image]:
    return txt2img.job(prompt, params)


@plugin.invocation
def sheet(params: Txt2ImgParams) -> Job[Image]:
    return grid.job(batch.job("a cat", params))


small = UpscaleParams(scale=2)
image = Image()

# A described run has the type of its output, and every job fits where its output fits.
assert_type(txt2img.job("a cat", Txt2ImgParams(steps=5)), Job[Image])
assert_type(txt2img.job("a cat"), Job[Image])
assert_type(batch.job("a cat"), Job[list[Image]])
assert_type(frames.job("a cat"), Job[Iterator[Image]])
assert_type(empty.job(small), Job[Image])
assert_type(caption.job(image), Job[str])
assert_type(hires.job("a cat", Txt2ImgParams()), Job[Image])
assert_type(sketch.job("a cat"), Job[Image])
assert_type(sheet.job(Txt2ImgParams()), Job[Image])
upscale.job(image, small)
upscale.job(txt2img.job("a cat"), small)
upscale.job(hires.job("a cat"), params=small)
txt2img.job(caption.job(image))

# What makes several images maps over a port that takes one.
upscale.job(batch.job("a cat"), small)
upscale.job(frames.job("a cat"), small)
upscale.job([image, image], small)
upscale.job([txt2img.job("a cat"), image], small)
txt2img.job(["a cat", "a dog"])

# A port that takes a list takes a list, a job that makes one, and jobs that make its items.
grid.job([image])
grid.job(batch.job("a cat"))
grid.job(frames.job("a cat"))
grid.job([txt2img.job("a cat"), txt2img.job("a dog")])
grid.job(upscale.job(batch.job("a cat")))
montage.job(["a cat"], batch.job("a cat"))

# Images and masks stand for each other; an optional port may stay empty.
paint.job(image, None)
paint.job(txt2img.job("a cat"), txt2img.job("a mask"))
composite.job(batch.job("a cat"), image, None, Params())
flatten.job(Layers(image, image), Params())

# An announced function is still the function.
assert_type(upscale(image, small, Progress()), Image)
assert_type(hires("a cat", Txt2ImgParams()), list[Job[Image]])
assert_type(sketch("a cat", Txt2ImgParams()), Job[Image])
assert_type(upscale.signature.full_name, str)

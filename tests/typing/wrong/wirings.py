"""Wirings that both type checkers must refuse, on each marked line and on no other. Checked by test_typing."""

from stable_core.sdk import Data, Field, Image, Job, Params, Plugin, Progress, Text

plugin = Plugin("mistyped")


class Txt2ImgParams(Params):
    steps: int = Field(default=20, ge=1, le=150, description="Denoising steps")


class UpscaleParams(Params):
    scale: int = Field(default=2, ge=2, le=8, description="Enlargement factor")


@plugin.job
def txt2img(prompt: Text, params: Txt2ImgParams, progress: Progress) -> Image:
    return Image()


@plugin.job
def upscale(image: Image, params: UpscaleParams, progress: Progress) -> Image:
    return image


@plugin.job
def caption(image: Image, params: Params, progress: Progress) -> Text:
    return "a cat"


@plugin.job
def tags(image: Image, params: Params, progress: Progress) -> Data:
    return Data({})


@plugin.job
def grid(images: list[Image], params: Params, progress: Progress) -> Image:
    return images[0]


@plugin.job
def paint(base: Image, prompt: Text, params: Params, progress: Progress) -> Image:
    return base


@plugin.job  # E: no progress
def hasty(image: Image, params: UpscaleParams) -> Image:
    return image


@plugin.job  # E: progress before params
def swapped(image: Image, progress: Progress, params: UpscaleParams) -> Image:
    return image


@plugin.job  # E: params that are no Params
def loose(image: Image, params: int, progress: Progress) -> Image:
    return image


@plugin.invocation  # E: an invocation returns described jobs
def eager(prompt: Text, params: Txt2ImgParams) -> Image:
    return Image()


image = Image()
upscale.job("a cat", UpscaleParams())  # E: text into an image port
upscale.job(caption.job(image), UpscaleParams())  # E: a job that makes text into an image port
upscale.job(image, Txt2ImgParams())  # E: another job's params
txt2img.job(image, Txt2ImgParams())  # E: an image into a text port
txt2img.job(upscale.job(image))  # E: a job that makes an image into a text port
txt2img.job(tags.job(image))  # E: data into a text port
upscale.job()  # E: an empty port
upscale.job(image, UpscaleParams(), Progress())  # E: progress belongs to a run
grid.job(image)  # E: a bare image into a port that takes a list
grid.job(["a cat"])  # E: texts into a list of images
grid.job([caption.job(image)])  # E: jobs that make text into a list of images
paint.job("a cat", image)  # E: two ports swapped
paint.job(image)  # E: one of two ports empty
upscale(image, UpscaleParams())  # E: missing progress
upscale("a cat", UpscaleParams(), Progress())  # E: text where the function takes an image
wrong: Job[Text] = upscale.job(image)  # E: the output is an image
UpscaleParams(scale="big")  # E: a param of another type

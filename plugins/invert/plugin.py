"""Invert: turns the colours of an image round. The plugin to copy when you write your own; see README.md."""

from PIL import ImageChops, ImageOps

from stable_core.sdk import Field, Image, Params, Plugin, Progress

plugin = Plugin("invert")


class InvertParams(Params):
    """The knobs of the job."""

    amount: float = Field(default=1.0, ge=0, le=1, description="0 keeps the image, 1 inverts it", component="slider")


@plugin.job
def invert(image: Image, params: InvertParams, progress: Progress) -> Image:
    """Turn the colours of an image round."""
    inverted = ImageOps.invert(image.convert("RGB")).convert(image.mode)
    if image.mode == "RGBA":
        inverted.putalpha(image.getchannel("A"))
    progress(1, 1)
    return ImageChops.blend(image, inverted, params.amount)

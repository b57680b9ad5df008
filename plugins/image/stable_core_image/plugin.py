"""The jobs of the image plugin and their knobs. How a grid is drawn is in `grid`, how layers mix in `layers`."""

from __future__ import annotations

import math
from typing import Literal

import PIL.Image
from PIL import ImageFilter, ImageOps

from stable_core.sdk import Field, Image, InvalidParams, Mask, Params, Plugin, Progress
from stable_core_image.canvas import COLOR, check_size, new_canvas, parse_color
from stable_core_image.grid import draw_grid
from stable_core_image.layers import BlendMode, mix

MAX_SIDE = 16384

Resampling = Literal["lanczos", "bicubic", "bilinear", "box", "hamming", "nearest"]
RESAMPLING = {member.name.lower(): member for member in PIL.Image.Resampling}

plugin = Plugin("image")


class ResizeParams(Params):
    """The new size and how the image is brought into it."""

    width: int = Field(default=0, ge=0, le=MAX_SIDE, description="New width; 0 follows the height", unit="px")
    height: int = Field(default=0, ge=0, le=MAX_SIDE, description="New height; 0 follows the width", unit="px")
    mode: Literal["stretch", "fit", "fill", "pad"] = Field(
        default="stretch",
        description="When both sides are given: stretch, fit inside, fill and cut off the rest, or fit and pad",
    )
    background: str = Field(
        default="#000000",
        pattern=COLOR,
        description="Colour of the padding; #rrggbbaa may be transparent",
        component="color",
        depends={"mode": "pad"},
    )
    resampling: Resampling = Field(
        default="lanczos", description="How new pixels are computed; nearest keeps hard edges", advanced=True
    )


class CropParams(Params):
    """The rectangle to keep."""

    x: int = Field(default=0, ge=0, le=MAX_SIDE, description="Left edge of what is kept", unit="px")
    y: int = Field(default=0, ge=0, le=MAX_SIDE, description="Top edge of what is kept", unit="px")
    width: int = Field(default=0, ge=0, le=MAX_SIDE, description="Width to keep; 0 goes to the right edge", unit="px")
    height: int = Field(default=0, ge=0, le=MAX_SIDE, description="Height to keep; 0 goes to the bottom", unit="px")


class RotateParams(Params):
    """The turn, and the flip before it."""

    angle: float = Field(
        default=0, ge=-360, le=360, description="How far to turn, counter-clockwise", unit="°", component="slider"
    )
    flip: Literal["none", "horizontal", "vertical", "both"] = Field(
        default="none", description="Mirror left and right, top and bottom, or both, before the turn"
    )
    expand: bool = Field(default=True, description="Grow the image so that no corner is cut off")
    background: str = Field(
        default="#000000",
        pattern=COLOR,
        description="Colour of the new corners; #rrggbbaa may be transparent",
        component="color",
        group="Quality",
        advanced=True,
    )
    resampling: Literal["bicubic", "bilinear", "nearest"] = Field(
        default="bicubic",
        description="How new pixels are computed; nearest keeps hard edges",
        group="Quality",
        advanced=True,
    )


class GridParams(Params):
    """How the images are arranged and labelled. Labels are given one per line."""

    columns: int = Field(default=0, ge=0, le=100, description="Images per row; 0 makes the grid about square")
    gap: int = Field(default=8, ge=0, le=512, description="Space between the images and around them", unit="px")
    background: str = Field(default="#ffffff", pattern=COLOR, description="Colour behind the images", component="color")
    labels: str = Field(
        default="",
        max_length=20_000,
        description="Text below each image, one line per image",
        component="textarea",
        group="Labels",
    )
    column_labels: str = Field(
        default="",
        max_length=20_000,
        description="Text above each column, one line per column",
        component="textarea",
        group="Labels",
    )
    row_labels: str = Field(
        default="",
        max_length=20_000,
        description="Text left of each row, one line per row",
        component="textarea",
        group="Labels",
    )
    text_size: int = Field(
        default=0, ge=0, le=256, description="Height of the text; 0 fits the images", unit="px", group="Labels"
    )


class CompositeParams(Params):
    """Where the overlay lies on the base and how it mixes with it."""

    x: int = Field(
        default=0, ge=-MAX_SIDE, le=MAX_SIDE, description="Left edge of the overlay", unit="px", group="Position"
    )
    y: int = Field(
        default=0, ge=-MAX_SIDE, le=MAX_SIDE, description="Top edge of the overlay", unit="px", group="Position"
    )
    opacity: float = Field(
        default=1,
        ge=0,
        le=1,
        description="0 shows the base alone, 1 the whole overlay",
        component="slider",
        group="Mixing",
    )
    blend: BlendMode = Field(
        default="normal", description="How the colours of overlay and base are combined", group="Mixing"
    )


class MakeMaskParams(Params):
    """What of the image becomes the mask."""

    source: Literal["brightness", "alpha", "red", "green", "blue"] = Field(
        default="brightness", description="What is read: bright or opaque places are selected"
    )
    threshold: int = Field(
        default=0,
        ge=0,
        le=255,
        description="From this value on a place is selected, below it is not; 0 keeps soft edges",
        component="slider",
    )


class BlurParams(Params):
    """How far the blur reaches."""

    radius: float = Field(
        default=4, ge=0, le=256, description="Radius of the Gaussian blur", unit="px", component="slider"
    )


@plugin.job
def resize(image: Image, params: ResizeParams, progress: Progress) -> Image:
    """Resize an image.

    With one side at 0 the proportions are kept; with both at 0 the image stays as it is.
    """
    width, height = params.width, params.height
    if not width and not height:
        progress(1, 1)
        return image
    width = width or max(1, round(image.width * height / image.height))
    height = height or max(1, round(image.height * width / image.width))
    check_size(width, height)
    resampling = RESAMPLING[params.resampling]
    if params.mode == "stretch":
        result = image.resize((width, height), resampling)
    elif params.mode == "fill":
        result = ImageOps.fit(image, (width, height), resampling)
    else:
        result = ImageOps.contain(image, (width, height), resampling)
    if params.mode == "pad":
        padded = new_canvas((width, height), params.background, like=image)
        padded.paste(result, ((width - result.width) // 2, (height - result.height) // 2))
        result = padded
    progress(1, 1)
    return result


@plugin.job
def crop(image: Image, params: CropParams, progress: Progress) -> Image:
    """Cut a rectangle out of an image; what would reach over its edge is left away."""
    if params.x >= image.width or params.y >= image.height:
        message = f"x {params.x}, y {params.y} lies outside of the image."
        raise InvalidParams(message, f"The image has {image.width} x {image.height} pixels.")
    right = min(image.width, params.x + params.width) if params.width else image.width
    bottom = min(image.height, params.y + params.height) if params.height else image.height
    progress(1, 1)
    return image.crop((params.x, params.y, right, bottom))


@plugin.job
def rotate(image: Image, params: RotateParams, progress: Progress) -> Image:
    """Turn an image by any angle, and mirror it."""
    if params.flip in ("horizontal", "both"):
        image = ImageOps.mirror(image)
    if params.flip in ("vertical", "both"):
        image = ImageOps.flip(image)
    if params.angle % 360:
        angle = math.radians(params.angle)
        across, along = abs(math.cos(angle)), abs(math.sin(angle))
        if params.expand:
            width, height = image.size
            check_size(round(width * across + height * along), round(width * along + height * across))
        color = parse_color(params.background)
        has_corners = params.angle % 90 != 0 or not params.expand
        if has_corners:
            image = image.convert("RGBA" if len(color) == 4 or image.mode == "RGBA" else "RGB")
        image = image.rotate(
            params.angle, RESAMPLING[params.resampling], params.expand, fillcolor=color if has_corners else None
        )
    progress(1, 1)
    return image


@plugin.job
def grid(images: list[Image], params: GridParams, progress: Progress) -> Image:
    """Arrange images in a grid, with labels."""
    return draw_grid(
        images,
        columns=params.columns,
        gap=params.gap,
        background=params.background,
        labels=params.labels.splitlines(),
        column_labels=params.column_labels.splitlines(),
        row_labels=params.row_labels.splitlines(),
        text_size=params.text_size,
        progress=progress,
    )


@plugin.job
def composite(base: Image, overlay: Image, mask: Mask | None, params: CompositeParams, progress: Progress) -> Image:
    """Lay one image over another.

    The overlay shows where the mask is white and the overlay itself is not transparent. A mask of another size is
    stretched over the overlay; without one all of it shows. The result has the size of the base.
    """
    result = mix(base, overlay, mask, (params.x, params.y), params.opacity, params.blend)
    progress(1, 1)
    return result


@plugin.job
def invert_mask(mask: Mask, params: Params, progress: Progress) -> Mask:
    """Select what was not selected."""
    progress(1, 1)
    return ImageOps.invert(mask)


@plugin.job
def make_mask(image: Image, params: MakeMaskParams, progress: Progress) -> Mask:
    """Make a mask from the brightness, the transparency or one colour of an image."""
    if params.source == "brightness":
        mask = image.convert("L")
    else:
        mask = image.convert("RGBA").getchannel(params.source[0].upper())
    if params.threshold:
        mask = mask.point(lambda value: 255 if value >= params.threshold else 0)
    progress(1, 1)
    return mask


@plugin.job
def blur(image: Image, params: BlurParams, progress: Progress) -> Image:
    """Blur an image, or soften the edge of a mask."""
    progress(1, 1)
    return image.filter(ImageFilter.GaussianBlur(params.radius))

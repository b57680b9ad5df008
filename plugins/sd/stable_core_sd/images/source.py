"""What a run from a picture starts with: sizes, masks and the part that is drawn, as pictures. It knows no latents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, ImageOps

from stable_core_sd.images.colours import match_colours
from stable_core_sd.images.cropping import crop_region, expand_to_ratio
from stable_core_sd.images.masks import fill_masked, lay_over, overlay_mask, prepare_mask
from stable_core_sd.images.resizing import Box, ResizeMode, Size, Upscale, resize_image
from stable_core_sd.params import Img2ImgParams, InpaintParams
from stable_core_sd.ports import Picture

RESIZE_MODES: dict[str, ResizeMode] = {
    "Just resize": "stretch",
    "Crop and resize": "crop",
    "Resize and fill": "pad",
    "Just resize (latent upscale)": "latent",
}


@dataclass(frozen=True)
class Source:
    """The start of a run from a picture.

    Attributes:
        start: what is encoded, in mode RGB; its size is that of the run unless the latent is resized.
        mask: what is repainted, white, in mode L and of the run's size; None is all of it.
        latent_mask: the same for the latents, which is another one where a client gave one.
        original: the picture that is seen outside of the mask in the end; it gives the result its size.
        overlay: the mask of what covers `original`.
        region: where on `original` the result goes; None is everywhere.
        colours: whose colours the result gets, if that is wanted; None is those of `start`.
    """

    start: Image.Image
    mask: Image.Image | None = None
    latent_mask: Image.Image | None = None
    original: Image.Image | None = None
    overlay: Image.Image | None = None
    region: Box | None = None
    colours: Image.Image | None = None

    def extras(self, picture: Image.Image, knobs: InpaintParams) -> Iterator[Image.Image]:
        """Yield what is wanted beside the final picture: the mask, and the drawn part alone on nothing."""
        if self.overlay is None:
            return
        if knobs.return_mask:
            yield self.overlay.convert("RGB")
        if knobs.return_composite:
            alone = self.put_back(picture).convert("RGBA")
            alone.putalpha(self.overlay)
            yield alone

    def finish(self, picture: Image.Image, params: Img2ImgParams) -> Image.Image:
        """Return the final picture for one that was decoded."""
        if params.color_correction:
            picture = match_colours(picture, self.colours or self.start)
        if self.original is None or self.overlay is None:
            return picture
        picture = self.put_back(picture)
        return lay_over(picture, self.original, self.overlay) if params.inpaint.overlay else picture

    def put_back(self, picture: Image.Image) -> Image.Image:
        """Return the whole picture with what was drawn at its place."""
        if self.region is None or self.original is None:
            return picture
        left, top, right, bottom = self.region
        whole = self.original.copy()
        whole.paste(resize_image(picture, "crop", (right - left, bottom - top)), (left, top))
        return whole


def flatten(image: Image.Image, background: str) -> Image.Image:
    """Return any picture upright, in mode RGB, with its transparent parts on a colour."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = image.point(lambda value: value / 256).convert("L")
    if image.has_transparency_data:
        under = Image.new("RGBA", image.size, background)
        under.alpha_composite(image.convert("RGBA"))
        image = under
    return image.convert("RGB")


def prepare_source(given: Picture, params: Img2ImgParams, size: Size, upscale: Upscale | None = None) -> Source:
    """Return what a run of `size` starts with. With `Only masked` a mask that is all black is as good as none.

    Args:
        upscale: enlarges the picture where it is smaller, instead of Lanczos resampling.

    Source: A1111 1.10, `StableDiffusionProcessingImg2Img.init`.
    """
    image, mode, knobs = flatten(given.image, params.background), RESIZE_MODES[params.resize_mode], params.inpaint
    mask, region = given.mask, None
    if mask is not None:
        mask = prepare_mask(mask, knobs.invert, knobs.mask_blur_x, knobs.mask_blur_y)
    if mask is not None and knobs.area == "Only masked":
        mask = of_size(mask, image.size)
        box = crop_region(mask, knobs.padding)
        mask, region = (mask, expand_to_ratio(box, size, image.size)) if box else (None, None)

    def fit(picture: Image.Image) -> Image.Image:
        if region is not None:
            return resize_image(of_size(picture, image.size).crop(region), "pad", size, upscale)
        return resize_image(picture, mode, size, upscale)

    start = image if mode == "latent" and region is None else fit(image)
    if mask is None:
        return Source(start, colours=given.colours)
    fitted = fit(mask).convert("L")
    latent_fitted = fitted if given.latent_mask is None else fit(given.latent_mask.convert("L")).convert("L")
    if knobs.fill != "original":
        start = fill_masked(start, of_size(latent_fitted, start.size))
    if region is not None:
        return Source(start, fitted, latent_fitted, image, mask, region, given.colours)
    return Source(start, fitted, latent_fitted, fit(image), overlay_mask(fitted), None, given.colours)


def of_size(picture: Image.Image, size: Size) -> Image.Image:
    """Return a picture or mask that may have another size at this one."""
    return picture if picture.size == size else picture.resize(size, Image.Resampling.BILINEAR)

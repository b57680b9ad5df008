"""The announcement of what is made of several runs from a picture: loops, tiles, outpainting, folders.

Planning is in `invocations`.
"""

from __future__ import annotations

import importlib
import traceback
from types import ModuleType
from typing import Any

from stable_core.sdk import File, Image, Job, Mask, Progress, Text
from stable_core_sd.interrogation_jobs import add_description
from stable_core_sd.invocations.folders import knobs_for, open_picture, plan_folder, save_results
from stable_core_sd.invocations.loops import plan_loops, told_of_loops
from stable_core_sd.invocations.outpainting import plan_outpainting
from stable_core_sd.invocations.poor_outpainting import plan_poor_outpainting
from stable_core_sd.invocations.tiles import NO_UPSCALER, plan_tiles
from stable_core_sd.params import Img2ImgParams
from stable_core_sd.params_interrogation import DescriptionParams
from stable_core_sd.params_scripts import (
    BatchFolderParams,
    BatchItemParams,
    BoxParams,
    ContinueParams,
    DrawPlotParams,
    JoinTilesParams,
    LoopbackParams,
    OutpaintParams,
    PasteParams,
    PoorOutpaintParams,
    TiledUpscaleParams,
)
from stable_core_sd.params_upscale import UpscaleParams
from stable_core_sd.plugin import img2img, plugin, upscale
from stable_core_sd.ports import Picture
from stable_core_sd.scripts import draw_plot


@plugin.invocation
def loopback(image: Image, prompt: Text, mask: Mask | None, params: LoopbackParams) -> list[Job[Image]]:
    """Change a picture, then the result, and so on. The results of all passes, and first all of them side by side."""
    results: list[Job[Image]] = []
    grids = []
    for passes in plan_loops(params):
        last: Image | Job[Image] = image
        made = []
        for run in passes:
            said: Text | Job[Text] = prompt
            if params.append_interrogation != "None":
                said = add_description.job(prompt, last, DescriptionParams(by=params.append_interrogation))
            last = img2img.signature.job(image=last, prompt=said, mask=mask, colours=image, params=run)
            made.append(last)
        results += made
        grids.append(draw_plot.job(made, DrawPlotParams(columns=len(made), told=told_of_loops(prompt, passes))))
    return [*(grids if params.grid else []), *results]


@plugin.job
def cut_tile(picture: Image, params: BoxParams, progress: Progress) -> Image:
    """Cut a rectangle out of a picture; what lies outside is black."""
    box = (params.x, params.y, params.x + params.width, params.y + params.height)
    return _done(picture.convert("RGB").crop(box), progress)


@plugin.job
def join_tiles(tiles: list[Image], params: JoinTilesParams, progress: Progress) -> Image:
    """Put overlapping tiles together, each fading in over the one before."""
    return _done(_heavy("drawing").join_tiles(tiles, params), progress)


@plugin.invocation
def upscale_tiled(image: Image, prompt: Text, params: TiledUpscaleParams) -> list[Job[Image]]:
    """Enlarge a picture and draw it again, tile by tile: more detail than the model could draw at once (SD upscale)."""
    plan = plan_tiles(image.size, prompt, params)
    flat = _flat(image, params)
    whole: Any = flat
    if params.upscaler != NO_UPSCALER:
        whole = upscale.job(flat, UpscaleParams(upscaler=params.upscaler, scale=params.scale_factor))
    tiles = [cut_tile.job(whole, box) for box in plan.boxes]
    drawn = [
        [img2img.signature.job(image=tile, prompt=prompt, params=run) for tile, run in zip(tiles, runs, strict=True)]
        for runs in plan.runs
    ]
    return [join_tiles.job(one, plan.join) for one in drawn]


@plugin.job
def extend_canvas(picture: Image, params: ContinueParams, progress: Progress) -> Image:
    """Enlarge the canvas of a picture at one side and fill it with noise that is like the picture."""
    return _done(_heavy("canvases").extend_canvas(picture, params), progress)


@plugin.job
def paste_piece(picture: Image, piece: Image, params: PasteParams, progress: Progress) -> Image:
    """Put a piece onto a picture and keep the top left part of it."""
    return _done(_heavy("canvases").paste_piece(picture, piece, params), progress)


@plugin.invocation
def outpaint(image: Image, prompt: Text, params: OutpaintParams) -> list[Job[Image]]:
    """Continue a picture beyond its edges, one side after the other (outpainting mk2).

    A long prompt that says what the whole picture shows helps, and so do 50 to 100 steps of Euler a.
    """
    results = []
    for steps in plan_outpainting(image.size, prompt, params):
        last: Any = _flat(image, params)
        for step in steps:
            canvas = extend_canvas.job(last, step.canvas)
            drawn = img2img.signature.job(
                image=cut_tile.job(canvas, step.window),
                prompt=prompt,
                mask=step.mask,
                latent_mask=step.latent_mask,
                params=step.run,
            )
            last = paste_piece.job(canvas, drawn, step.paste)
        results.append(last)
    return results


@plugin.invocation
def poor_mans_outpaint(image: Image, prompt: Text, params: PoorOutpaintParams) -> Job[Image]:
    """Continue a picture beyond its edges, tile by tile, from nothing but what is at its edges."""
    plan = plan_poor_outpainting(_flat(image, params), prompt, params)
    drawn = [
        piece.image
        if piece.run is None
        else img2img.signature.job(
            image=piece.image, prompt=prompt, mask=piece.mask, latent_mask=piece.latent_mask, params=piece.run
        )
        for piece in plan.pieces
    ]
    return join_tiles.job(drawn, plan.join)


@plugin.job(cached=False)
def change_file(
    picture: File, prompt: Text, mask: File | None, params: BatchItemParams, progress: Progress
) -> list[Image]:
    """Change a picture in a file; one that cannot be changed gives nothing, with the error in the log."""
    progress(0, 1)
    try:
        image = open_picture(picture.path)
        told, knobs = knobs_for(picture.path, image, prompt, params)
        given = Picture(image, told, open_picture(mask.path) if mask else None)
        results = list(img2img(given, knobs, progress))
        if params.output_folder:
            save_results(results, params)
    except Exception:  # noqa: BLE001 - whatever is wrong with one picture, the others of its folder are worth having
        traceback.print_exc()
        progress(1, 1, "Left out")
        return []
    return results


@plugin.invocation
def batch_folder(prompt: Text, params: BatchFolderParams) -> list[Job[list[Image]]]:
    """Change all pictures of a folder on the server's machine."""
    items = plan_folder(params)
    return [
        change_file.job(File(item.picture), prompt, File(item.mask) if item.mask else None, item.params)
        for item in items
    ]


def _done(picture: Image, progress: Progress) -> Image:
    progress(1, 1)
    return picture


def _heavy(name: str) -> ModuleType:
    """Import a module that needs numpy, which is not needed to announce."""
    return importlib.import_module(f"stable_core_sd.invocations.{name}")


def _flat(image: Image, params: Img2ImgParams) -> Image:
    """Return the picture without transparency."""
    flat: Image = importlib.import_module("stable_core_sd.images.source").flatten(image, params.background)
    return flat

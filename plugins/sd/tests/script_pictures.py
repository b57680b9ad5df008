"""Pictures of the built-in model made by loops, outpainting, their own noise and merging, for tests and documentation.

python plugins/sd/tests/script_pictures.py docs/images
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors.torch import load_file, save_file

from graphs import run
from runs import draw
from stable_core.sdk import Progress, find_model_file
from stable_core_sd.merge_files import merge
from stable_core_sd.params_models import MergeParams
from stable_core_sd.params_scripts import AlternativeParams, LoopbackParams, OutpaintParams
from stable_core_sd.picture_scripts import loopback, outpaint
from stable_core_sd.plugin import img2img_alternative
from stable_core_sd.ports import Picture

MOUNTAINS, BOAT = "a landscape with mountains and the sun", "a sunset sea with a boat"
CONTINUED = ((MOUNTAINS, "a landscape with mountains", 3, 6), (BOAT, "a sunset sea", 5, 4))
"""What pictures show and what is around them, the seed and the blur."""
GAP = 8


def drawn(prompt: str, seed: int, checkpoint: str = "nano") -> Image.Image:
    """Return a picture from text."""
    return draw(prompt, checkpoint=checkpoint, steps=20, seed=seed)[0]


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    """Return pictures of one height in a row."""
    made = Image.new("RGB", (sum(one.width + GAP for one in pictures) - GAP, pictures[0].height), "white")
    left = 0
    for picture in pictures:
        made.paste(picture, (left, 0))
        left += picture.width + GAP
    return made


def outpainted() -> Image.Image:
    """Return two pictures, each beside what it looks like continued to both sides."""
    made = Image.new("RGB", (3 * 128 + GAP, 2 * 128 + GAP), "white")
    for row, (shown, around, seed, blur) in enumerate(CONTINUED):
        start = drawn(shown, 5)
        knobs: dict[str, Any] = {"denoising_strength": 0.8, "sampler": "Euler a", "seed": seed, "blur": blur}
        wide = run(outpaint(start, around, OutpaintParams(**knobs, pixels=64, up=False, down=False)))
        made.paste(side_by_side([start, *wide]), (0, row * (128 + GAP)))
    return made


def redrawn() -> Image.Image:
    """Return a landscape and what three prompts make of its own noise: the same, snow, sunset."""
    start = drawn(MOUNTAINS, 3)
    params = AlternativeParams(seed=5, original_prompt=MOUNTAINS, sigma_adjustment=True, cfg_scale=1)
    told = [MOUNTAINS, *(MOUNTAINS.replace("landscape", f"{word} landscape") for word in ("snowy", "sunset"))]
    return side_by_side([start, *(run(img2img_alternative.job(Picture(start, one), params))[0] for one in told)])


def looped() -> Image.Image:
    """Return a square, and what four passes towards a circle make of it."""
    start = drawn("a blue square on a white background", 3)
    params = LoopbackParams(seed=5, loops=4, denoising_strength=0.5, final_denoising_strength=0.5)
    grid, *_ = run(loopback(start, "a red circle on a white background", None, params))
    return side_by_side([start, grid])


def write_swapped(folder: Path) -> None:
    """Write the built-in model with colours swapped by the last layer of its VAE, which is linear."""
    shutil.copytree(find_model_file("checkpoints", "nano"), folder)
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    for name in ("decoder.conv_out.weight", "decoder.conv_out.bias"):
        tensors[name] = tensors[name][[2, 0, 1]].contiguous()
    save_file(tensors, weights)


def merged() -> Image.Image:
    """Return what the built-in model, three merges by quarters and the one with swapped colours draw; writes models."""
    write_swapped(Path(os.environ["STABLE_CORE_MODELS"]) / "checkpoints" / "swapped")
    for share in (0.25, 0.5, 0.75):
        merge(MergeParams(primary="nano", secondary="swapped", multiplier=share, name=f"merged {share}"), Progress())
    names = ["nano", "merged 0.25", "merged 0.5", "merged 0.75", "swapped"]
    return side_by_side([drawn("a red circle on a yellow background", 7, name) for name in names])


PICTURES = {
    "sd_outpaint": outpainted,
    "sd_img2img_alternative": redrawn,
    "sd_loopback": looped,
    "sd_merge": merged,
}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as models:
        os.environ["STABLE_CORE_MODELS"] = models
        for picture, make in PICTURES.items():
            small = make().quantize(256, kmeans=2, dither=Image.Dither.NONE)
            small.save(Path(sys.argv[1]) / f"{picture}.png", optimize=True)

"""Upscalers that are neural networks: read from model files, run tile by tile. Sizes and resampling are in images."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image

from stable_core.sdk import InvalidParams, find_model_file
from stable_core_sd import device
from stable_core_sd.images.grids import Row, Tile, TileGrid, combine_grid, split_grid
from stable_core_sd.images.resizing import Upscale
from stable_core_sd.images.upscaling import RESAMPLINGS, enlarge, find_upscaler

KIND = "upscale_models"
"""The kind of model files, a folder below each models folder."""
NONE = "None"
"""The upscaler that leaves a picture as it is."""
LDSR, LDSR_STEPS = "LDSR", 100
"""The upscaler that works by diffusion, and its steps. Source: A1111 1.10."""
TILE, OVERLAP = 192, 8
"""Pixels that a network sees at once, and those that two tiles share. Source: A1111 1.10, ESRGAN."""

OnTile = Callable[[int, int], None]


class UpscaleModel:
    """A network that enlarges pictures by a factor of its own: ESRGAN, Real-ESRGAN, SwinIR, Swin2SR, DAT and others.

    What kind it is, is found out from the names and shapes of its weights (spandrel).
    """

    def __init__(self, path: Path) -> None:
        """Read a model file.

        Raises:
            InvalidParams: it is no upscaler, or cut off.
        """
        spandrel = import_spandrel()
        try:
            model = spandrel.ModelLoader().load_from_file(path)
        except Exception as error:  # noqa: BLE001 - a file can be wrong in any way, and each reader says it differently
            raise InvalidParams(
                f"{path.name} cannot be read as an upscaler: {error}.", "Choose another file."
            ) from None
        if not isinstance(model, spandrel.ImageModelDescriptor) or model.purpose not in ("SR", "Restoration"):
            raise InvalidParams(
                f"{path.name} is a {model.architecture.name} model.", "Choose one that enlarges pictures."
            )
        self.device = device.choose_device()
        halves = self.device.type == "cuda" and model.supports_half
        self.model: Any = model.to(self.device, dtype=torch.float16 if halves else torch.float32).eval()
        self.scale: int = model.scale
        self.channels: int = model.input_channels
        self.takes_tiles: bool = model.tiling is spandrel.ModelTiling.SUPPORTED

    def enlarge_once(self, image: Image.Image, tile: int, overlap: int, on_tile: OnTile) -> Image.Image:
        """Return the picture in mode RGB, `scale` times larger.

        Args:
            tile: side of what the network sees at once, in pixels; 0 is the whole picture.
            on_tile: called before each tile with its index and how many there are.
        """
        image = image.convert("RGB")
        if not tile or not self.takes_tiles or max(image.size) <= tile:
            on_tile(0, 1)
            return self.run(image)
        grid = split_grid(image, (min(tile, image.width), min(tile, image.height)), overlap)
        total = sum(len(row.tiles) for row in grid.rows)
        done, rows = 0, []
        for y, tiles in grid.rows:
            made = []
            for x, piece in tiles:
                on_tile(done, total)
                made.append(Tile(x * self.scale, self.run(piece)))
                done += 1
            rows.append(Row(y * self.scale, made))
        size = image.width * self.scale, image.height * self.scale
        return combine_grid(TileGrid(rows, size, overlap * self.scale))

    @torch.inference_mode()
    def run(self, image: Image.Image) -> Image.Image:
        """Return one tile, enlarged."""
        pixels = np.asarray(image.convert("L") if self.channels == 1 else image)
        shades = torch.from_numpy(pixels.reshape(1, image.height, image.width, -1).copy()).movedim(-1, 1)
        made = self.model((shades / 255).to(self.device, self.model.dtype)).float().clamp(0, 1)
        bytes_ = (made[0] * 255).round().to(torch.uint8).movedim(0, -1).cpu().numpy()
        return Image.fromarray(bytes_.squeeze(-1) if bytes_.shape[-1] == 1 else bytes_).convert("RGB")


@cache
def import_spandrel() -> ModuleType:
    """Import spandrel without torchvision.

    It takes three names from there, which its upscalers do not use, and torchvision loads longer than all else
    together.
    """
    import types

    names = ["torchvision", "torchvision.transforms", "torchvision.transforms.functional"]
    stand_ins = [types.ModuleType(name) for name in names]
    vars(stand_ins[-1]).update(dict.fromkeys(("InterpolationMode", "normalize", "rotate")))
    missing = {name: module for name, module in zip(names, stand_ins, strict=True) if name not in sys.modules}
    sys.modules.update(missing)
    try:
        import spandrel
    finally:
        for name in missing:
            del sys.modules[name]
    return spandrel


_loaded: dict[tuple[Path, int], UpscaleModel] = {}
"""The last model, by file and the time of its last change."""


def load_model(name: str) -> UpscaleModel:
    """Return the upscaler of this name; the last one stays loaded.

    Raises:
        InvalidParams: there is none, or it cannot be used.
    """
    path = find_model_file(KIND, name)
    key = path, path.stat().st_mtime_ns
    if key not in _loaded:
        unload()
        _loaded[key] = UpscaleModel(path)
    return _loaded[key]


def unload() -> None:
    """Forget the loaded model and give its memory back."""
    devices = {model.device for model in _loaded.values()}
    _loaded.clear()
    gc.collect()
    for used in devices:
        device.free_memory(used)


def upscaler(
    name: str,
    tile: int = TILE,
    overlap: int = OVERLAP,
    on_tile: OnTile = lambda index, count: None,
    ldsr_steps: int = LDSR_STEPS,
) -> Upscale:
    """Return what enlarges a picture by a factor: a resampling, a network, or nothing for "None".

    What is done in steps and not tile by tile calls `on_tile` for each step.

    Raises:
        InvalidParams: there is none of that name, or it cannot be used.
    """
    if name == NONE:
        return lambda image, factor: image
    if name in RESAMPLINGS:
        return find_upscaler(name)
    if name == LDSR:
        from stable_core_sd import ldsr

        diffusion = ldsr.open_ldsr()
        return lambda image, factor: enlarge(
            image,
            factor,
            lambda picture: diffusion.enlarge_by(picture, factor, ldsr_steps, tile, overlap, on_tile),
        )
    model = load_model(name)
    return lambda image, factor: enlarge(
        image, factor, lambda picture: model.enlarge_once(picture, tile, overlap, on_tile)
    )

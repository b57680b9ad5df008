"""DeepDanbooru: the tags of a picture with their probabilities. What becomes of the tags is not known here.

Source: https://github.com/KichangKim/DeepDanbooru, a ResNet (He et al. 2015, https://arxiv.org/abs/1512.03385), in the
form that https://github.com/AUTOMATIC1111/TorchDeepDanbooru gave its model "resnet_custom_v3".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d, pad, relu

from stable_core.sdk import InvalidParams, find_model_file, model_files
from stable_core_sd import device
from stable_core_sd.checkpoint_store import Format
from stable_core_sd.images.resizing import resize_image
from stable_core_sd.pickles import read_pickle
from stable_core_sd.recent import Recent, file_stamps
from stable_core_sd.settings import SdSettings

KINDS = ("torch_deepdanbooru", "DeepDanbooru")
"""Where A1111 keeps the model, now and in its first versions, below a models folder."""
WHAT = "model-resnet_custom_v3.pt of TorchDeepDanbooru"
SIDE = 512
"""Of the square that the network looks at, in pixels."""


@dataclass(frozen=True)
class Stage:
    """Blocks of the same width; a stride makes the first one halve the picture."""

    blocks: int
    stride: int = 2
    shortcut_is_last: bool = False
    """The convolution beside the first block is numbered behind those of the block."""


STAGES = (Stage(3, stride=1), Stage(8), Stage(20), Stage(20, shortcut_is_last=True), Stage(3), Stage(3))
CONVOLUTIONS = 1 + sum(3 * stage.blocks + 1 for stage in STAGES) + 1

kept: Recent[TagNetwork] = Recent(1)
"""The model used last, in main memory."""


class TagNetwork:
    """The network; its file numbers the convolutions, and their shapes are those of the weights."""

    def __init__(self, path: Path, form: Format) -> None:
        """Read a file.

        Raises:
            InvalidParams: it is of another kind, unsafe or cut off.
        """
        content = read_pickle(path)
        tags = content.get("tags") if isinstance(content, Mapping) else None
        names = [f"n_Conv_{number}.weight" for number in range(CONVOLUTIONS)]
        if not isinstance(tags, list) or any(not isinstance(content.get(name), Tensor) for name in names):
            raise InvalidParams(f"{path} is no DeepDanbooru model.", f"Put {WHAT} there.")
        if len(content[names[-1]]) != len(tags):
            raise InvalidParams(f"{path} has {len(tags)} tags for {len(content[names[-1]])} outputs.", "Copy it again.")
        self.tags = [str(tag) for tag in tags]
        self.form = form
        self._weights: dict[str, Any] = {
            name: value.to(form.dtype) for name, value in content.items() if isinstance(value, Tensor)
        }

    @torch.inference_mode()
    def __call__(self, image: Image.Image) -> dict[str, float]:
        """Return the probability of every tag."""
        shown = np.asarray(resize_image(image.convert("RGB"), "pad", (SIDE, SIDE)), dtype=np.float32) / 255
        pixels = torch.from_numpy(shown).permute(2, 0, 1)[None].to(self.form.device, self.form.dtype)
        weights = {name: value.to(self.form.device) for name, value in self._weights.items()}
        try:
            probabilities = run_network(weights, pixels)[0].float().tolist()
        finally:
            del weights
            device.free_memory(self.form.device)
        return dict(zip(self.tags, probabilities, strict=True))


def run_network(weights: Mapping[str, Tensor], pixels: Tensor) -> Tensor:
    """Return probabilities of shape (batch, tags) for pixels in 0..1 of shape (batch, 3, SIDE, SIDE).

    Like TensorFlow, which it comes from, it pads a convolution with a stride more on the right and below.
    """

    def convolve(number: int, x: Tensor, stride: int = 1) -> Tensor:
        weight = weights[f"n_Conv_{number}.weight"]
        missing = max(weight.shape[-1] - stride, 0)
        before, after = missing // 2, missing - missing // 2
        padded = pad(x, (before, after, before, after))
        return conv2d(padded, weight, weights.get(f"n_Conv_{number}.bias"), stride)

    x = relu(convolve(0, pixels, 2))
    x = max_pool2d(pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)
    numbers = count(1)
    for stage in STAGES:
        for index in range(stage.blocks):
            stride = 1 if index else stage.stride
            has_shortcut = index == 0
            shortcut = next(numbers) if has_shortcut and not stage.shortcut_is_last else 0
            inner = relu(convolve(next(numbers), x))
            inner = relu(convolve(next(numbers), inner, stride))
            inner = convolve(next(numbers), inner)
            shortcut = next(numbers) if has_shortcut and stage.shortcut_is_last else shortcut
            x = relu(inner + (convolve(shortcut, x, stride) if shortcut else x))
    return convolve(next(numbers), x).mean((2, 3)).sigmoid()


def find_tags(image: Image.Image, name: str, settings: SdSettings) -> dict[str, float]:
    """Return the probability of every tag that the model called `name` knows; an empty name is the first there is.

    Raises:
        InvalidParams: there is none, or it cannot be used.
    """
    return open_network(name, Format.chosen(settings))(image)


def open_network(name: str, form: Format) -> TagNetwork:
    """Return the model of this name, the first one if it is empty.

    Raises:
        InvalidParams: there is none, or it cannot be used.
    """
    kind = next((kind for kind in KINDS if model_files(kind)), None)
    if kind is None:
        raise InvalidParams(f"There is no model in models/{KINDS[0]}/.", f"Put {WHAT} there.")
    path = find_model_file(kind, name) if name else next(iter(model_files(kind).values()))
    return kept.get((form, *file_stamps(path)), lambda: TagNetwork(path, form))


def unload() -> None:
    """Forget the model; it is in main memory."""
    kept.clear()

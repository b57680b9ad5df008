"""Reading the networks of face restoration from model files, and keeping them. What they do is in their own modules."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stable_core.sdk import InvalidParams
from stable_core_sd import device
from stable_core_sd.faces.codeformer import CodeFormer, Sizes
from stable_core_sd.faces.files import DETECTOR, PARSER, RESTORERS, find_file, need_file
from stable_core_sd.faces.parsing import ParseNet
from stable_core_sd.faces.retinaface import RetinaFace
from stable_core_sd.tensor_files import TensorFiles
from stable_core_sd.upscale_models import import_spandrel
from stable_core_sd.weights import Part, fill_model

Restore = Callable[[Tensor], Tensor]
"""From an aligned face in -1..1, of shape (1, 3, 512, 512), to the restored one."""

_loaded: dict[str, tuple[object, Any]] = {}
"""The networks by what they are for, each with what it was read from."""


def load_detector() -> RetinaFace:
    """Return the network that finds faces.

    Raises:
        InvalidParams: its file is not there or cannot be used.
    """
    network: RetinaFace = _kept("detector", need_file(DETECTOR), read_detector)
    return network


def load_parser() -> ParseNet | None:
    """Return the network that tells a face from what is around it; None if there is no file of it.

    Raises:
        InvalidParams: the file cannot be used.
    """
    path = find_file(PARSER)
    return None if path is None else _kept("parser", path, read_parser)


def load_restorer(name: str, weight: float) -> Restore:
    """Return what restores a face.

    Args:
        name: one of `files.RESTORERS`.
        weight: of CodeFormer, 0 to 1; others have none.

    Raises:
        InvalidParams: its file is not there or cannot be used.
    """
    path = need_file(RESTORERS[name])
    if name == "CodeFormer":
        return partial(_kept(name, path, read_codeformer), weight=weight)
    network = _kept(name, path, partial(read_with_spandrel, architecture=name))
    if name == "GFPGAN":  # its own noise is in the file; otherwise each run would be another
        network = partial(network, return_rgb=False, randomize_noise=False)
    return lambda face: network(face)[0]


def unload() -> None:
    """Forget the networks and give their memory back."""
    _loaded.clear()
    gc.collect()
    device.free_memory(device.choose_device())


def read_detector(path: Path) -> RetinaFace:
    """Read RetinaFace as facexlib keeps it, in any width.

    Raises:
        InvalidParams: it is something else, unsafe or cut off.
    """
    tensors = _opened(path, "body.conv1.weight", "fpn.output1.0.weight")
    width, channels = (tensors.shape(_stored(tensors, f"{name}.weight"))[0] for name in ("body.conv1", "fpn.output1.0"))
    return _filled(lambda: RetinaFace(width, channels), tensors)


def read_parser(path: Path) -> ParseNet:
    """Read ParseNet as facexlib keeps it, in any width.

    Raises:
        InvalidParams: it is something else, unsafe or cut off.
    """
    tensors = _opened(path, "encoder.0.conv2d.weight", "out_mask_conv.conv2d.weight")
    width = tensors.shape("encoder.0.conv2d.weight")[0]
    return _filled(lambda: ParseNet(width), tensors)


def read_codeformer(path: Path) -> CodeFormer:
    """Read CodeFormer in any size.

    Raises:
        InvalidParams: it is something else, unsafe or cut off.
    """
    tensors = _opened(path, "encoder.blocks.0.weight", "position_emb", "quantize.embedding.weight")
    codes, code = tensors.shape("quantize.embedding.weight")
    places, embedding = tensors.shape("position_emb")
    layers = {name.split(".")[1] for name in tensors if name.startswith("ft_layers.")}
    fused = {int(name.split(".")[1]) for name in tensors if name.startswith("fuse_convs_dict.")}
    width = tensors.shape("encoder.blocks.0.weight")[0]
    sizes = Sizes(width, code, codes, places, embedding, len(layers), tuple(sorted(fused)))
    return _filled(lambda: CodeFormer(sizes), tensors)


def read_with_spandrel(path: Path, architecture: str) -> nn.Module:
    """Read a network of an architecture that spandrel knows; the file itself is read by our own reader.

    Raises:
        InvalidParams: it is something else, unsafe or cut off.
    """
    spandrel, tensors = import_spandrel(), TensorFiles([path])
    try:
        model = spandrel.ModelLoader(device=device.choose_device()).load_from_state_dict(dict(tensors))
    except Exception as error:  # noqa: BLE001 - a file can be wrong in any way, and each architecture says it differently
        raise InvalidParams(f"{path.name} cannot be read as {architecture}: {error}.", "Choose another file.") from None
    if model.architecture.id != architecture:
        raise InvalidParams(
            f"{path.name} is a {model.architecture.name} model, not {architecture}.", "Take it out of the folder."
        )
    return model.model.float().eval().requires_grad_(False)


def _kept(purpose: str, path: Path, read: Callable[[Path], Any]) -> Any:
    """Return a network that was read before, or read it."""
    key = path, path.stat().st_mtime_ns, device.choose_device()
    if purpose not in _loaded or _loaded[purpose][0] != key:
        _loaded.pop(purpose, None)
        with torch.inference_mode(False):
            _loaded[purpose] = key, read(path)
    return _loaded[purpose][1]


def _opened(path: Path, *needed: str) -> TensorFiles:
    """Return the tensors of a file.

    Raises:
        InvalidParams: it lacks one of those that tell what it is, or cannot be read.
    """
    tensors = TensorFiles([path])
    if any(_stored(tensors, name) not in tensors for name in needed):
        raise InvalidParams(f"{path.name} is not the network that its name says.", "Copy it again from its source.")
    return tensors


def _stored(tensors: TensorFiles, name: str) -> str:
    """Return what a weight is called in a file, also if it was saved while it was trained on several GPUs."""
    return name if name in tensors else f"module.{name}"


def _filled(make: Callable[[], Any], tensors: TensorFiles) -> Any:
    part = Part({}, tensors, partial(_stored, tensors))
    return fill_model(make, part, device.choose_device(), torch.float32)

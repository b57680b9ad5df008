"""Small networks for faces in files, and a detector that sees what a test planted. For tests only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from stable_core_sd.faces.alignment import TEMPLATE, Similarity
from stable_core_sd.faces.codeformer import CodeFormer, Sizes
from stable_core_sd.faces.detection import PLACE_SHARE, SIZE_SHARE, anchors_of
from stable_core_sd.faces.parsing import ParseNet
from stable_core_sd.faces.retinaface import Guesses, RetinaFace
from stable_core_sd.upscale_models import import_spandrel

SMALL = Sizes(width=2, code=16, codes=32, places=256, embedding=16, layers=2)


def randomized(network: Any, seed: int = 0) -> Any:
    """Return a network whose weights, also those that start as 0 or 1, are random; large ones keep their size."""
    torch.manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif tensor.ndim == 1:
            tensor.add_(torch.randn_like(tensor) / 10)
    return network.eval().requires_grad_(False)


def small_gfpgan(**_: Any) -> Any:
    """Return a GFPGAN with few channels for faces of the usual size, whatever size was asked for."""
    import_spandrel()
    from spandrel.architectures.GFPGAN.__arch.gfpganv1_clean_arch import GFPGANv1Clean

    return GFPGANv1Clean(out_size=512, num_style_feat=8, num_mlp=1, channel_multiplier=2, narrow=1 / 16)


def write(folder: Path, name: str, network: Any, group: str = "", prefix: str = "") -> Path:
    """Write a network as PyTorch pickles it, its weights below `group`, and return the file."""
    folder.mkdir(exist_ok=True, parents=True)
    state = {prefix + key: value for key, value in network.state_dict().items()}
    torch.save({group: state} if group else state, folder / name)
    return folder / name


def write_all(models: Path) -> None:
    """Write a detector, a parser, a GFPGAN and a CodeFormer where A1111 has them."""
    folder = models / "GFPGAN"
    write(folder, "detection_Resnet50_Final.pth", randomized(RetinaFace(4, 8)), prefix="module.")
    write(folder, "parsing_parsenet.pth", all_skin())
    write(folder, "GFPGANv1.4.pth", randomized(small_gfpgan()), "params_ema")
    write(models / "Codeformer", "codeformer-v0.1.0.pth", randomized(CodeFormer(SMALL)), "params_ema")


def all_skin() -> ParseNet:
    """Return a parser that takes everything for skin."""
    network = ParseNet(2)
    for tensor in network.state_dict().values():
        tensor.zero_()
    network.out_mask_conv.conv2d.bias.data[1] = 1
    return network.eval()


def dot_detector() -> RetinaFace:
    """Return a detector of the real kind that takes a white dot on black for a face.

    At a 32nd of what it sees, a place that begins with a dot has a face of 256 pixels whose landmarks lie as on the
    template.
    """
    network = RetinaFace(4, 8)
    for convolution in (part for part in network.modules() if isinstance(part, torch.nn.Conv2d)):
        convolution.weight.data.zero_()
        if convolution.bias is not None:
            convolution.bias.data.zero_()
    network.body.conv1.weight.data[0] = 1 / (3 * 7 * 7)
    for layer in ("layer1", "layer2", "layer3", "layer4"):
        network.body.get_submodule(f"{layer}.0.downsample.0").weight.data[0, 0] = 1
    network.fpn.output3[0].weight.data[0, 0] = 1
    network.ssh3.conv3X3[0].weight.data[0, 0, 1, 1] = 1
    for head in network.ClassHead:
        head.conv1x1.bias.data[1::2] = -8
    network.ClassHead[2].conv1x1.weight.data[1, 0] = 1
    network.LandmarkHead[2].conv1x1.bias.data[:10] = torch.from_numpy((TEMPLATE / 512 - 0.5).ravel() / PLACE_SHARE)
    return network.eval()


def planted(picture: tuple[int, int], faces: Sequence[Similarity]) -> Any:
    """Return a network that sees these faces, and nothing else, in a picture of a size (width, height).

    A face is what brings it from the template of 512 pixels into the picture.
    """

    def network(x: torch.Tensor) -> Guesses:
        height, width = x.shape[-2:]
        anchors = anchors_of((width, height))
        offsets, landmarks = torch.zeros(len(anchors), 4), torch.zeros(len(anchors), 10)
        logits = torch.tensor([8.0, -8.0]).repeat(len(anchors), 1)
        for face in faces:
            points = torch.from_numpy(face.apply(TEMPLATE)).float() * torch.tensor(
                [width / picture[0], height / picture[1]]
            )
            middle, side = points.mean(dim=0), float(3 * (points[1] - points[0]).norm())
            distance = (anchors[:, :2] - middle).norm(dim=1) + 100 * (anchors[:, 2] / side).log().abs()
            best = int(distance.argmin())
            share = anchors[best, 2] * PLACE_SHARE
            offsets[best, :2] = (middle - anchors[best, :2]) / share
            offsets[best, 2:] = math.log(side / float(anchors[best, 2])) / SIZE_SHARE
            landmarks[best] = ((points - anchors[best, :2]) / share).flatten()
            logits[best] = torch.tensor([-8.0, 8.0])
        return Guesses(offsets, logits, landmarks)

    return network


def smooth(width: int, height: int) -> Image.Image:
    """Return a picture of soft colours that survive being sampled anew."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    shades = [128 + 90 * np.sin(x / 31), 128 + 90 * np.cos(y / 37), 128 + 90 * np.sin((x + y) / 53)]
    return Image.fromarray(np.stack(shades, axis=-1).astype(np.uint8))

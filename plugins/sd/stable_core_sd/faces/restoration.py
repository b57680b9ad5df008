"""Restoration of a picture's faces: find, align, restore, lay back, one after the other. The parts are beside it.

Source: A1111 1.10 and facexlib, which it calls.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stable_core_sd import device
from stable_core_sd.faces.alignment import Floats, align, fit_similarity, paste
from stable_core_sd.faces.detection import find_faces
from stable_core_sd.faces.loading import Restore, load_detector, load_parser, load_restorer
from stable_core_sd.faces.masks import parsed_mask, square_mask

NO_FACE = "No face was found in a picture, so it stayed as it was."


def restore_faces(picture: Image.Image, name: str, weight: float, say: Callable[[str], None]) -> Image.Image | None:
    """Return an RGB picture with its faces restored; None if it has none.

    Args:
        name: of the network, as in `files.RESTORERS`.
        weight: of CodeFormer: 0 restores the most, 1 keeps the most of the face.
        say: is told what comes next, before each face; what it raises ends the work.

    Raises:
        InvalidParams: a model file is not there or cannot be used.
    """
    say(f"Loading {name}")
    restore, detector = load_restorer(name, weight), load_detector()
    say("Looking for faces")
    faces = find_faces(detector, picture, device.choose_device())
    made = picture
    for number, face in enumerate(faces, 1):
        say(f"Restoring face {number} of {len(faces)} with {name}")
        placed = fit_similarity(face.landmarks)
        restored, mask = restore_face(align(picture, placed), restore)
        made = paste(made, restored, mask, placed)
    return made if faces else None


@torch.inference_mode()
def restore_face(face: Image.Image, restore: Restore) -> tuple[Image.Image, Floats]:
    """Return an aligned face restored, and how much of it is to be seen where, 0 to 1."""
    restored = restore(to_tensor(face).to(device.choose_device())).float().clamp(-1, 1)
    parse = load_parser()
    return to_picture(restored), parsed_mask(parse, restored) if parse else square_mask()


def to_tensor(face: Image.Image) -> Tensor:
    """Return an RGB picture in -1..1, of shape (1, 3, height, width)."""
    pixels = torch.from_numpy(np.array(face, dtype=np.float32))
    return pixels.movedim(-1, 0)[None] / 127.5 - 1


def to_picture(face: Tensor) -> Image.Image:
    """Return the RGB picture of what `to_tensor` returns."""
    return Image.fromarray(((face[0] + 1) * 127.5).round().to(torch.uint8).movedim(0, -1).cpu().numpy())

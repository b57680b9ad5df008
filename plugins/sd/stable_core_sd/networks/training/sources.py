"""Where the pictures and words of a training come from: wires or a folder. It encodes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from stable_core.sdk import InvalidInput, InvalidParams
from stable_core_sd.networks.training.texts import file_words

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif")


def given_pictures(images: Sequence[Image.Image], captions: Sequence[str] | None) -> list[tuple[Image.Image, str]]:
    """Return pictures with their words.

    Raises:
        InvalidInput: there are captions, but not one for each picture.
    """
    if captions and len(captions) != len(images):
        raise InvalidInput(
            f"There are {len(captions)} captions for {len(images)} pictures.", "Give one for each picture, or none."
        )
    return list(zip(images, captions or [""] * len(images), strict=True))


def folder_pictures(folder: Path, pattern: str = "", joint: str = " ") -> list[tuple[Image.Image, str]]:
    """Return the pictures of a folder by name, with their words: see `texts.file_words`.

    Raises:
        InvalidParams: there is no such folder, or it holds no picture.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    found = []
    for path in paths:
        try:
            with Image.open(path) as opened:
                picture = ImageOps.exif_transpose(opened).copy()
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
            continue  # as the original does: what cannot be read is no picture
        found.append((picture, file_words(path, pattern, joint)))
    if not found:
        raise InvalidParams(f"{folder} holds no pictures.", "Name a folder with .png, .jpg or .webp files.")
    return found

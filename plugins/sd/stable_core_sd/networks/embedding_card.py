"""Embedding cards: pictures that hold an embedding in a text chunk and in their pixels. It reads no other format.

In the pixels, the data is a compressed JSON text, cut into its low and its high halves of bytes. Each half is a block
of pixels as high as the picture, one at its left and one at its right, kept apart by a black column; the four low bits
of each colour, mixed with a fixed row of pseudo-random numbers, are the data. The four high bits are decoration.

Source of the format: the image embeddings of A1111's web UI, 2022.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

CHUNK = "sd-ti-embedding"
MAX_BYTES = 64 * 2**20
_TENSOR = "TORCHTENSOR"
_COLOURS = 3


def read_card(picture: Image.Image) -> dict[str, Any] | None:
    """Return the embedding in a picture as the dict of a `.pt` file, or None when there is none.

    Raises:
        ValueError: there is one, but it is broken.
    """
    encoded = getattr(picture, "text", picture.info).get(CHUNK)
    if isinstance(encoded, str):
        return _decode(base64.b64decode(encoded))
    packed = _read_pixels(np.asarray(picture.convert("RGB")))
    if packed is None:
        return None
    unpacker = zlib.decompressobj()  # what fills up the last row follows the data
    try:
        text = unpacker.decompress(packed, MAX_BYTES)
    except zlib.error:
        return None  # a picture with black columns
    return _decode(text)


def make_card(picture: Image.Image, data: Mapping[str, Any]) -> Image.Image:
    """Return a card: the picture with an embedding, given as the dict of a `.pt` file, at its sides and in `info`."""
    text = json.dumps(data, default=_encode_tensor).encode()
    packed = np.frombuffer(zlib.compress(text, 9), np.uint8)
    row = picture.height * _COLOURS
    padded = np.resize(packed, -(-len(packed) // row) * row)
    middle = np.asarray(picture.convert("RGB"))
    gap = np.zeros((picture.height, 1, _COLOURS), np.uint8)
    shades = _shades(middle)
    low, high = (_make_block(half, shades) for half in (padded & 15, padded >> 4))
    card = Image.fromarray(np.concatenate([low, gap, middle, gap, high], axis=1))
    card.info[CHUNK] = base64.b64encode(text).decode()
    return card


def save_card(card: Image.Image, path: Path) -> None:
    """Write a card as PNG, with its embedding in the text chunk too."""
    chunks = PngInfo()
    chunks.add_text(CHUNK, card.info[CHUNK])
    card.save(path, "PNG", pnginfo=chunks)


def _make_block(half_bytes: np.ndarray[Any, Any], shades: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    block = half_bytes.reshape(len(shades), -1, _COLOURS)
    return _mix(block) | shades[:, None, :]


def _shades(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a colour for each row of the blocks: the picture's own, without the bits of the data and never black."""
    return (pixels.mean(axis=1).astype(np.uint8) & 0xE0) | 0x10


def _read_pixels(pixels: np.ndarray[Any, Any]) -> bytes | None:
    lit = pixels.max(axis=2) > 0
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    if not len(rows):
        return None
    low_bits = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] & 15
    gaps = np.flatnonzero(~low_bits.any(axis=(0, 2)))
    if len(gaps) < 2:
        return None
    left, right = _mix(low_bits[:, : gaps[0]]), _mix(low_bits[:, gaps[-1] + 1 :])
    return (left | right << 4).tobytes() if left.shape == right.shape else None


def _mix(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Mix half bytes with the row of pseudo-random numbers; done twice it is undone.

    The numbers are those of the linear congruential generator x ← 1664525·x + 1013904223 modulo 2³², from 0, each
    modulo 255; number n is 1013904223 times the sum of the first n powers of 1664525.
    """
    powers = np.full(block.size, 1664525, np.uint32)
    powers[:1] = 1
    states = np.cumsum(np.cumprod(powers, dtype=np.uint32), dtype=np.uint32) * np.uint32(1013904223)
    return block ^ (states % 255 & 15).astype(np.uint8).reshape(block.shape)


def _encode_tensor(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{type(value).__name__} cannot be stored in a card")
    return {_TENSOR: value.detach().cpu().tolist()}


def _decode(text: bytes) -> dict[str, Any]:
    """Return what a JSON text with marked tensors says.

    Raises:
        ValueError: it is no such text.
    """

    def tensor(found: dict[str, Any]) -> Any:
        return torch.tensor(found[_TENSOR], dtype=torch.float32) if _TENSOR in found else found

    try:
        data = json.loads(text, object_hook=tensor)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"the embedding in the picture is broken: {error}") from None
    if not isinstance(data, dict):
        raise ValueError("the picture holds no embedding")
    return data

"""Artifacts: the types that travel on wires and the media types they are stored as. Reading is in codecs."""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import PIL.Image

Text: TypeAlias = str
"""A text port: a plain `str`."""

Image: TypeAlias = PIL.Image.Image
"""An image port: a PIL image in mode RGB, RGBA or L, upright (EXIF orientation is applied on the way in).

A job may return any mode; 16-bit gray is stored as such, but read as 8 bits (take a `File` to read all 16).
"""

Mask: TypeAlias = Annotated[PIL.Image.Image, "mask"]
"""A mask port: a PIL image in mode L, 255 = selected. Any image wired into it is converted."""


@dataclass(frozen=True)
class Data:
    """A data port: any JSON value. A job may return the bare dict or list."""

    value: Any


@dataclass(frozen=True)
class File:
    """A file port: any file of no other type."""

    path: Path


class Video(File):
    """A video port: a file that is not loaded into memory."""


@dataclass(frozen=True)
class Audio:
    """An audio port: one encoded sound file. `stable_core.sdk.audio` has `audio_from_pcm` and `audio_to_pcm`."""

    content: bytes
    media_type: str = "audio/wav"


ARTIFACT_TYPES: dict[str, Any] = {
    "text": Text,
    "image": Image,
    "mask": Mask,
    "audio": Audio,
    "video": Video,
    "file": File,
    "data": Data,
}
"""The name of each type on the wire."""

SUFFIXES = {
    "text/plain": ".txt",
    "application/json": ".json",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/bmp": ".bmp",
    "image/tiff": ".tiff",
    "image/avif": ".avif",
    "audio/wav": ".wav",
    "audio/flac": ".flac",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "video/mp4": ".mp4",
    "video/quicktime": ".mov",
    "video/webm": ".webm",
    "video/x-msvideo": ".avi",
    "application/pdf": ".pdf",
    "application/zip": ".zip",
    "application/x-safetensors": ".safetensors",
    "application/octet-stream": ".bin",
}
"""Every media type we tell apart, and the ending of a file of that type."""

_OPENINGS = {
    rb"\x89PNG\r\n\x1a\n": "image/png",
    rb"\xff\xd8\xff": "image/jpeg",
    rb"GIF8[79]a": "image/gif",
    rb"BM....\0\0\0\0": "image/bmp",
    rb"II\*\0|MM\0\*": "image/tiff",
    rb"RIFF....WEBP": "image/webp",
    rb"RIFF....WAVE": "audio/wav",
    rb"RIFF....AVI ": "video/x-msvideo",
    rb"....ftypavi[fs]": "image/avif",
    rb"....ftypqt  ": "video/quicktime",
    rb"....ftyp": "video/mp4",
    rb"fLaC": "audio/flac",
    rb"OggS": "audio/ogg",
    rb"ID3|\xff\xfb": "audio/mpeg",
    rb"\x1a\x45\xdf\xa3": "video/webm",
    rb"%PDF-": "application/pdf",
    rb"PK\x03\x04": "application/zip",
    rb'....\0{4}\{"': "application/x-safetensors",
    rb"RIFF|.*\0": "application/octet-stream",
}
"""How files of each media type begin, as regular expressions; the first that matches counts. No text holds a zero."""


def media_type_of(head: bytes, filename: str = "") -> str:
    """Return the media type of a file from its first bytes (64 are enough for all but text; 4,096 are good).

    The content decides; the name only tells JSON from other text, because prompts too may begin with a brace.
    """
    for opening, media_type in _OPENINGS.items():
        if re.match(opening, head, re.DOTALL):
            return media_type
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return "application/octet-stream"
    return "application/json" if filename.lower().endswith(".json") or _is_json(text) else "text/plain"


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), (dict, list))
    except (ValueError, RecursionError):
        return False


def type_of(media_type: str) -> str:
    """Return the artifact type that a file of this media type has when no job says otherwise."""
    bare = media_type.split(";")[0].strip().lower()
    family = bare.split("/")[0]
    if bare == "application/json":
        return "data"
    is_known = family in ("text", "audio", "video") or (family == "image" and bare in SUFFIXES)
    return family if is_known else "file"


def suffix_of(media_type: str) -> str:
    """Return the ending, with its dot, of a file of this media type; `.bin` for an unknown one."""
    return SUFFIXES.get(media_type.split(";")[0].strip().lower(), ".bin")


def fits(artifact_type: str, port_type: str) -> bool:
    """Tell whether every artifact of one type can be read as the other.

    Images and masks stand for each other, JSON is text (but not every text is JSON), and a file port takes anything.
    """
    return artifact_type == port_type or port_type == "file" or (artifact_type, port_type) in _STAND_INS


_STAND_INS = {("image", "mask"), ("mask", "image"), ("data", "text")}

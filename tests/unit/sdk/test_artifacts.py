"""Artifacts: media types told from content, types, endings, and what fits where."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import PIL.Image
import pytest

from stable_core.sdk.artifacts import ARTIFACT_TYPES, SUFFIXES, fits, media_type_of, suffix_of, type_of

HEADS = {
    "audio/wav": b"RIFF\x24\0\0\0WAVEfmt ",
    "audio/flac": b"fLaC\0\0\0\x22",
    "audio/mpeg": b"ID3\x04\0",
    "audio/ogg": b"OggS\0\x02",
    "video/mp4": b"\0\0\0\x18ftypisom",
    "video/quicktime": b"\0\0\0\x14ftypqt  ",
    "video/webm": b"\x1a\x45\xdf\xa3\x01",
    "video/x-msvideo": b"RIFF\x24\0\0\0AVI LIST",
    "application/pdf": b"%PDF-1.7",
    "application/zip": b"PK\x03\x04\x14",
    "application/x-safetensors": b'\x38\x01\0\0\0\0\0\0{"emb_params":',
    "application/octet-stream": b"\x80\x81\x82",
    "text/plain": b"a red circle",
    "application/json": b'{"a": [1, 2]}',
}


@pytest.mark.parametrize(("media_type", "head"), HEADS.items())
def test_the_content_tells_the_type(media_type: str, head: bytes) -> None:
    assert media_type_of(head) == media_type
    assert media_type_of(head, "picture.png") == media_type


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_images(name: str) -> None:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (2, 2)).save(buffer, name)
    media_type = media_type_of(buffer.getvalue()[:64])
    assert media_type == f"image/{name.lower()}"
    assert type_of(media_type) == "image"


@pytest.mark.parametrize(
    ("head", "filename", "media_type"),
    [
        (b"", "", "text/plain"),
        ("ä".encode(), "", "text/plain"),
        (b"x" * 63 + "ä".encode()[:1], "", "text/plain"),  # a letter cut in two at the end of the head
        (b"\xef\xbb\xbfa text with a mark", "", "text/plain"),
        (b"a\0b", "", "application/octet-stream"),
        (b"{a cat|a dog} in a [hat]", "", "text/plain"),
        (b"[a cat] in a hat", "", "text/plain"),
        (b'{"cut off": ', "", "text/plain"),
        (b'{"cut off": ', "GRAPH.JSON", "application/json"),
        (b"  [1, 2]", "", "application/json"),
        (b"3.5", "", "text/plain"),
        (b"<svg onload='alert(1)'>", "a.svg", "text/plain"),
        (b"[" * 5000, "", "text/plain"),
        (b"RIFF", "", "application/octet-stream"),
        (b"BM then a text", "", "text/plain"),
    ],
)
def test_texts_json_and_what_only_looks_like_something(head: bytes, filename: str, media_type: str) -> None:
    assert media_type_of(head, filename) == media_type


@pytest.mark.parametrize(
    ("media_type", "artifact_type"),
    [
        ("text/plain", "text"),
        ("text/plain; charset=utf-8", "text"),
        ("TEXT/Markdown", "text"),
        ("application/json", "data"),
        ("image/webp", "image"),
        ("image/svg+xml", "file"),
        ("audio/ogg", "audio"),
        ("video/mp4", "video"),
        ("application/zip", "file"),
        ("nonsense", "file"),
        ("", "file"),
    ],
)
def test_the_artifact_type_of_a_media_type(media_type: str, artifact_type: str) -> None:
    assert type_of(media_type) == artifact_type


def test_endings_are_unique_and_come_back() -> None:
    assert len(set(SUFFIXES.values())) == len(SUFFIXES)
    assert all(Path(f"x{ending}").suffix == ending for ending in SUFFIXES.values())
    assert (suffix_of("image/jpeg"), suffix_of("text/plain; charset=utf-8")) == (".jpg", ".txt")
    assert suffix_of("application/../../etc") == ".bin"


def test_what_fits_where() -> None:
    pairs = {(a, b) for a, b in itertools.product(ARTIFACT_TYPES, repeat=2) if a != b and b != "file" and fits(a, b)}
    assert pairs == {("image", "mask"), ("mask", "image"), ("data", "text")}
    assert all(fits(name, name) and fits(name, "file") for name in ARTIFACT_TYPES)

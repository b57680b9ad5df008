"""The outputs folder: each result as an ordinary file with its generation data inside. Not the artifact store."""

from __future__ import annotations

import io
import json
import re
import shutil
import struct
import time
import zlib
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.ExifTags import IFD, Base

from stable_core.config import Config
from stable_core.sdk.artifacts import suffix_of
from stable_core.sdk.codecs import decode

Provenance = dict[str, Any]

PNG_SIGNATURE_BYTES = 8
MAX_SIDE = {"jpeg": 65_500, "webp": 16_383}
"""The longest side in pixels that these formats can hold."""
MAX_JPEG_CHARACTERS = 20_000
"""EXIF must fit into one segment of 64 KiB, at up to three bytes a character."""


def save_output(content: Path, artifact: dict[str, Any], provenance: Provenance, config: Config) -> Path:
    """Copy one result into `<outputs>/<date>/` under a new readable name and return its path.

    The generation data goes into a PNG's text chunks (`parameters` and `stable-core`), the EXIF of JPEG and WebP, and a
    JSON file beside anything else and beside a JPEG without room for it. A picture too large for its format is a PNG.
    """
    is_png = artifact["media_type"] == "image/png"
    image_format = config.settings.image_format if is_png and artifact["type"] == "image" else "png"
    if max(artifact.get("width", 0), artifact.get("height", 0)) > MAX_SIDE.get(image_format, 2**31):
        image_format = "png"
    suffix = suffix_of(f"image/{image_format}" if is_png else artifact["media_type"])
    path = _free_name(config.outputs_folder() / time.strftime("%Y-%m-%d"), _readable(provenance), suffix)
    facts = {"parameters": artifact.get("parameters", ""), "stable-core": json.dumps(provenance)}
    facts = {name: text for name, text in facts.items() if text and config.settings.embed_parameters}
    sidecar = path.with_name(f"{path.name}.json")
    is_beside = not is_png or (image_format == "jpeg" and sum(map(len, facts.values())) > MAX_JPEG_CHARACTERS)
    try:
        if is_png and image_format == "png":
            path.write_bytes(with_png_text(content.read_bytes(), facts))
        elif is_png:
            path.write_bytes(_convert(content, image_format, {} if is_beside else facts))
        else:
            shutil.copyfile(content, path)
        if facts and is_beside:
            sidecar.write_text(json.dumps(provenance, indent=2), encoding="utf-8")
    except BaseException:
        for half_written in (path, sidecar):
            half_written.unlink(missing_ok=True)
        raise
    return path


def delete_saved(path: Path) -> None:
    """Delete a saved result and the file beside it."""
    for file in (path, path.with_name(f"{path.name}.json")):
        file.unlink(missing_ok=True)


def with_png_text(png: bytes, facts: dict[str, str]) -> bytes:
    """Return the PNG with one text chunk per fact right behind its header; pixels are not touched.

    Source: PNG specification, third edition, §11.3.3: tEXt holds Latin-1, iTXt UTF-8.
    """
    header_end = PNG_SIGNATURE_BYTES + 12 + struct.unpack(">I", png[PNG_SIGNATURE_BYTES : PNG_SIGNATURE_BYTES + 4])[0]
    chunks = b""
    for name, text in facts.items():
        try:
            kind, body = b"tEXt", name.encode("latin-1") + b"\0" + text.encode("latin-1")
        except UnicodeEncodeError:
            kind, body = b"iTXt", name.encode("latin-1") + b"\0\0\0\0\0" + text.encode()
        chunks += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return png[:header_end] + chunks + png[header_end:]


def _convert(content: Path, image_format: str, facts: dict[str, str]) -> bytes:
    picture = decode("image", content, "image/png")
    exif = Image.Exif()
    if "parameters" in facts:
        exif.get_ifd(IFD.Exif)[Base.UserComment] = b"UNICODE\0" + facts["parameters"].encode("utf-16-be")
    if "stable-core" in facts:
        exif.get_ifd(IFD.Exif)[Base.MakerNote] = facts["stable-core"].encode()
    stream = io.BytesIO()
    (picture.convert("RGB") if image_format == "jpeg" else picture).save(stream, image_format, quality=92, exif=exif)
    return stream.getvalue()


def _readable(provenance: Provenance) -> str:
    """Return `<time>-<job>-<first words>-<seed>`, only letters, digits, dots and dashes."""
    words = next((value for value in provenance["inputs"].values() if isinstance(value, str)), "")
    seed = provenance["params"].get("seed", "")
    parts = [
        time.strftime("%H%M%S"),
        provenance["job"],
        re.sub(r"[^a-z0-9]+", "-", words.lower())[:48].strip("-"),
        re.sub(r"\D+", "", str(seed))[:20],
    ]
    return "-".join(part for part in parts if part)


def _free_name(folder: Path, name: str, suffix: str) -> Path:
    """Claim a file name that is not taken, also against another process."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, 1_000_000):
        path = folder / f"{name}-{number:02d}{suffix}"
        try:
            path.open("xb").close()
        except FileExistsError:
            continue
        return path
    raise AssertionError("a million results in one second")

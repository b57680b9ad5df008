"""Picture files: a picture with its infotext inside as a file of any format, and back. File names are in file_names.

Sources: PNG specification, third edition, §11.3.3 (text chunks); Exif 2.32, tag UserComment; A1111 1.10 for which
container holds the text in which format; NovelAI's `Comment` chunk as its pictures carry it.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from typing import Any, Literal

import PIL.Image
from PIL.ExifTags import IFD, Base
from PIL.PngImagePlugin import PngInfo

from stable_core_sd.infotext import write_infotext
from stable_core_sd.names import find_sampler

Format = Literal["png", "jpeg", "webp", "avif", "gif"]
MAX_SIDE: Mapping[str, int] = {"jpeg": 65_535, "webp": 16_383, "gif": 65_535, "avif": 65_536}
"""The longest side in pixels that these formats can hold; a larger picture becomes a PNG."""

MAX_TEXT_FILE = 10_000
"""A file of text with fewer bytes may be infotext itself."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "TIFF", "BMP")
OWN_KEY = "stable-core"
"""The name of the text chunk in which the core keeps job, inputs and params; in other formats it is the MakerNote."""

CHARSETS = {b"ASCII\0\0\0": "ascii", b"JIS\0\0\0\0\0": "shift_jis", b"UNICODE\0": "utf-16-be"}
"""How the first eight bytes of a UserComment name what follows them."""

TECHNICAL = frozenset(
    [
        *("jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "exif", "icc_profile", "photoshop"),
        *("loop", "background", "timestamp", "duration", "progressive", "progression", "chromaticity"),
    ]
)
"""What decoders report besides the texts that people or programs put into a file."""


def write_picture(
    picture: PIL.Image.Image,
    infotext: str,
    picture_format: Format = "png",
    *,
    quality: int = 80,
    lossless: bool = False,
    key: str = "parameters",
) -> tuple[bytes, Format]:
    """Return a picture as a file with its infotext inside, and the format, which is PNG if it is too large for another.

    Texts that the picture has in its `info` are kept in a PNG.

    Args:
        quality: of JPEG, WebP and AVIF, 1 to 100.
        lossless: WebP without loss.
        key: the name of the text in a PNG; tools that work on finished pictures call it `postprocessing`.
    """
    if max(picture.size) > MAX_SIDE.get(picture_format, 2**31):
        picture_format = "png"
    options: dict[str, Any] = {"quality": quality}
    if picture_format == "png":
        texts = PngInfo()
        for name, text in {**picture.info, key: infotext}.items():
            if isinstance(name, str) and isinstance(text, str) and text:
                texts.add_text(name, text)
        options = {"pnginfo": texts}
    elif picture_format == "gif":
        options = {"comment": infotext.encode()} if infotext else {}
    elif infotext:
        exif = PIL.Image.Exif()
        exif.get_ifd(IFD.Exif)[Base.UserComment] = user_comment(infotext)
        options["exif"] = exif.tobytes()  # an Exif without a tag of its own counts as empty
    if picture_format == "webp":
        options["lossless"] = lossless
    if picture_format in ("jpeg", "webp", "avif"):
        picture = _eight_bits(picture, ("L", "RGB") if picture_format == "jpeg" else ("RGB", "RGBA"))
    stream = io.BytesIO()
    picture.save(stream, picture_format, **options)
    return stream.getvalue(), picture_format


def _eight_bits(picture: PIL.Image.Image, modes: tuple[str, ...]) -> PIL.Image.Image:
    if picture.mode == "I;16":
        picture = picture.point(lambda value: value / 257).convert("L")
    return picture if picture.mode in modes else picture.convert("RGB")


def user_comment(text: str) -> bytes:
    """Return a text as the UserComment of EXIF: the charset header and UTF-16, most significant byte first."""
    return b"UNICODE\0" + text.encode("utf-16-be")


def read_user_comment(comment: bytes) -> str:
    """Return the text of a UserComment; without a known charset it is taken as UTF-8."""
    charset = CHARSETS.get(comment[:8])
    if charset == "utf-16-be" and comment[8:9] != b"\0" and comment[9:10] == b"\0":
        charset = "utf-16-le"  # some programs write it the other way round
    try:
        return comment[8:].decode(charset) if charset else comment.decode("utf-8", "ignore")
    except UnicodeDecodeError:
        return comment.decode("utf-8", "ignore")


def infotext_of(picture: PIL.Image.Image) -> tuple[str, dict[str, Any]]:
    """Return the infotext of an opened picture, "" if it has none, and the other texts in the file."""
    comment = None
    with contextlib.suppress(Exception):  # broken pixels or a broken block of EXIF are no reason to refuse the text
        picture.load()  # a PNG may have its texts behind the pixels
        comment = picture.getexif().get_ifd(IFD.Exif).get(Base.UserComment)
    others: dict[str, Any] = {str(name): value for name, value in picture.info.items()}
    infotext = others.pop("parameters", None)
    if comment:
        infotext = _text(comment, read_user_comment) or infotext
    elif picture.format == "GIF" and "comment" in others:
        infotext = _text(others["comment"], lambda comment: comment.decode("utf-8", "ignore"))
    others = {name: value for name, value in others.items() if name not in TECHNICAL}
    if others.get("Software") == "NovelAI":
        with contextlib.suppress(KeyError, TypeError, ValueError):
            infotext = _from_novelai(others, picture.size)
    return infotext or "", others


def texts_in(content: bytes) -> tuple[str, str]:
    """Return the infotext in a picture's file, or a short file of text itself, and this project's own JSON in it.

    Either is "" if there is none.

    Raises:
        ValueError: it is neither a picture nor a short text.
    """
    try:
        with PIL.Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            infotext, others = infotext_of(picture)
            return infotext, others.get(OWN_KEY) or _maker_note(picture)
    except PIL.UnidentifiedImageError:
        pass
    except (OSError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise ValueError(f"The picture is broken: {error}") from None
    if len(content) >= MAX_TEXT_FILE:
        raise ValueError("This is neither a picture nor a short text")
    return content.decode("utf-8-sig"), ""


def _maker_note(picture: PIL.Image.Image) -> str:
    note = None
    with contextlib.suppress(Exception):  # a broken block of EXIF is no reason to refuse the picture
        note = picture.getexif().get_ifd(IFD.Exif).get(Base.MakerNote)
    return _text(note, lambda content: content.decode("utf-8", "ignore"))


def _text(value: Any, decode: Any) -> str:
    if isinstance(value, bytes):
        return str(decode(value))
    return value if isinstance(value, str) else ""


def _from_novelai(texts: Mapping[str, Any], size: tuple[int, int]) -> str:
    """Return A1111's infotext for a picture of NovelAI, which keeps its settings as JSON under `Comment`."""
    settings = json.loads(texts["Comment"])
    sampler = find_sampler(str(settings["sampler"]))
    pairs = {
        "Steps": settings["steps"],
        "Sampler": sampler.label if sampler else "Euler a",
        "CFG scale": settings["scale"],
        "Seed": settings["seed"],
        "Size": f"{size[0]}x{size[1]}",
        "Clip skip": 2,
        "ENSD": 31337,
    }
    return write_infotext(str(texts["Description"]), str(settings["uc"]), pairs)

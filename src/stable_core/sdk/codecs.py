"""Codecs: each artifact's way from Python value to bytes and back. Nothing is stored here.

Files may come from anyone: no header is trusted, and what is broken or too large gives InvalidInput.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import PIL.Image
from PIL.ExifTags import IFD, Base

from stable_core.errors import InvalidInput
from stable_core.sdk.artifacts import Audio, Data, File, Image, Video, media_type_of
from stable_core.sdk.audio import audio_details

MAX_PIXELS = 2**28
"""The largest picture that is opened, in pixels: 16,384 x 16,384."""

MAX_PARAMETERS = 2**16
"""The longest generation data that is kept from an image, in characters."""

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
COMPRESS_LEVEL = 1
_HEAD_BYTES = 4096

# Pillow warns above this size and raises above twice of it; ours is the limit that counts, so the two agree.
PIL.Image.MAX_IMAGE_PIXELS = MAX_PIXELS


@dataclass(frozen=True)
class Encoded:
    """A value as it is stored: its bytes, or the path of a file too large to hold, and what it is like."""

    content: bytes | Path
    media_type: str
    details: dict[str, Any] = field(default_factory=dict)


def encode(type_name: str, value: Any) -> Encoded:
    """Return the bytes, media type and details of a value of an artifact type.

    Raises:
        InvalidInput: the value is not of that type, or cannot be written as such.
    """
    cls, encode_value, _ = _CODECS[type_name]
    if not isinstance(value, cls):
        raise InvalidInput(f"The {type_name} must be of type {cls.__name__}, not {type(value).__name__}.")
    try:
        return encode_value(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"This {type_name} cannot be written: {error}.") from None


def decode(type_name: str, path: Path, media_type: str) -> Any:
    """Return the Python value that a port of this type gets for a stored file.

    Raises:
        InvalidInput: the file is broken, too large or of another kind.
    """
    try:
        return _CODECS[type_name][2](path)
    except (ValueError, RecursionError) as error:
        what = f"This {media_type} file cannot be read as {type_name}: {error}."
        raise InvalidInput(what, "Save text and JSON as UTF-8.") from None


def describe(path: Path, media_type: str) -> dict[str, Any]:
    """Return the details of a stored file from its header: cheap, and safe with files from strangers.

    Images give width, height and, if they hold generation data, parameters; WAV and FLAC give sample_rate, channels and
    seconds, or nothing if they are broken.

    Raises:
        InvalidInput: an image that cannot be opened or is too large.
    """
    if media_type.startswith("image/"):
        with _opened(path) as image:
            details = _image_details(image)
            if _exif(image, Base.Orientation) in (5, 6, 7, 8):  # stored on its side
                details |= {"width": image.height, "height": image.width}
            return details
    with path.open("rb") as file:
        return audio_details(file, media_type)


# Text and data


def _encode_data(value: Any) -> Encoded:
    bare = value.value if isinstance(value, Data) else value
    return Encoded(json.dumps(bare, ensure_ascii=False, allow_nan=False).encode(), "application/json")


def _decode_text(path: Path) -> str:
    return path.read_bytes().decode("utf-8-sig")


def _decode_data(path: Path) -> Data:
    return Data(json.loads(_decode_text(path), parse_constant=_refuse_constant))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


# Images and masks


def _encode_image(image: Image) -> Encoded:
    if 0 in image.size:
        raise InvalidInput(f"An image of {image.width} x {image.height} pixels is empty.")
    buffer = io.BytesIO()
    # Without `transparency`, Pillow would write one that may not fit the mode.
    _standard_mode(image).save(buffer, "PNG", compress_level=COMPRESS_LEVEL, transparency=None)
    notes = {str(name): told for name, told in image.info.items() if name == "notes" and isinstance(told, list)}
    return Encoded(buffer.getvalue(), "image/png", _image_details(image) | notes)


def _decode_image(path: Path) -> Image:
    from PIL import ImageOps  # only where an image is read: it would delay the start of every worker

    with _opened(path) as opened:
        parameters = _image_details(opened).get("parameters")
        opened.load()
        with contextlib.suppress(Exception):  # a broken EXIF block is no reason to refuse the picture
            ImageOps.exif_transpose(opened, in_place=True)
        image = _standard_mode(opened)
        if image.mode == "I;16":
            image = _eight_bits(image)
    profile = image.info.get("icc_profile") if image.mode == opened.mode else None
    kept = {"parameters": parameters, "icc_profile": profile}
    image.info = {name: value for name, value in kept.items() if value}
    return image


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """Open an image of a stranger; whatever its decoder raises in the block becomes InvalidInput."""
    try:
        with PIL.Image.open(path, formats=IMAGE_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise PIL.Image.DecompressionBombError
            yield image
    except MemoryError:
        raise
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning):
        raise InvalidInput("The image is too large.", f"Images may have up to {MAX_PIXELS:,} pixels.") from None
    except PIL.UnidentifiedImageError:
        hint = f"Known formats are {', '.join(IMAGE_FORMATS)}."
        raise InvalidInput("This is not an image that can be read.", hint) from None
    except Exception as error:  # noqa: BLE001 - decoders raise OSError, SyntaxError, struct.error, ValueError …
        raise InvalidInput(f"The image is broken: {error}.", "Open it in an editor and save it again.") from None


def _standard_mode(image: Image) -> Image:
    """Return the image in mode L, RGB, RGBA or I;16, without loss where one of these can hold it."""
    mode = image.mode
    if mode in ("RGBA", "I;16"):
        return image
    if image.has_transparency_data:
        return (image.convert("LA") if mode == "La" else image).convert("RGBA")
    if mode in ("RGB", "L"):
        return image
    if mode == "F":  # no range is agreed on; pictures in floats are 0 to 1
        low, high = image.getextrema()
        scale = 255 if float(low) >= -0.01 and float(high) <= 1.01 else 1  # type: ignore[arg-type]
        return image.point(lambda value: value * scale).convert("L")
    if mode.startswith("I"):
        return image.convert("I").convert("I;16")
    return image.convert("L" if mode == "1" else "RGB")


def _as_mask(image: Image) -> Image:
    """Return the image in mode L; what is transparent is not selected."""
    standard = _standard_mode(image)
    if standard.mode == "I;16":
        return _eight_bits(standard)
    gray = standard.convert("L")
    if standard.mode == "RGBA":
        gray.paste(0, mask=standard.getchannel("A").point(lambda alpha: 255 - alpha))
    return gray


def _eight_bits(image: Image) -> Image:
    """Return a 16-bit image scaled to 8 bits; Pillow's own conversion would turn all that is not black white."""
    return image.point(lambda value: value / 256).convert("L")


def _image_details(image: Image) -> dict[str, Any]:
    details: dict[str, Any] = {"width": image.width, "height": image.height}
    # Formats without text chunks keep the generation data in the EXIF user comment.
    told = image.info.get("parameters") or _exif(image, Base.UserComment, IFD.Exif)
    if isinstance(told, bytes) and told.startswith(b"UNICODE\0"):
        told = told[8:].decode("utf-16-be" if told[8:9] == b"\0" else "utf-16-le", "ignore")
    if isinstance(told, str) and told.strip():
        details["parameters"] = told[:MAX_PARAMETERS]
    return details


def _exif(image: Image, tag: int, block: int | None = None) -> Any:
    with contextlib.suppress(Exception):  # a broken EXIF block is no reason to refuse the picture
        exif = image.getexif()
        return (exif.get_ifd(block) if block else exif).get(tag)


# Audio


def _encode_audio(value: Audio) -> Encoded:
    media_type = _expect_family(value.content[:_HEAD_BYTES], "audio")
    return Encoded(value.content, media_type, audio_details(io.BytesIO(value.content), media_type))


def _decode_audio(path: Path) -> Audio:
    content = path.read_bytes()
    return Audio(content, _expect_family(content[:_HEAD_BYTES], "audio"))


# Video and files


def _decode_video(path: Path) -> Video:
    _expect_family(head_of(path), "video")
    return Video(path)


def head_of(path: Path) -> bytes:
    """Return the beginning of a file, enough to tell what it is.

    Raises:
        InvalidInput: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror}.") from None


def _expect_family(head: bytes, family: str) -> str:
    media_type = media_type_of(head)
    if not media_type.startswith(family):
        known = "WAV, FLAC, MP3 or Ogg" if family == "audio" else "MP4, WebM, MOV or AVI"
        raise InvalidInput(f"This {media_type} file is not {family}.", f"Known are {known}.")
    return media_type


_CODECS: dict[str, tuple[type, Callable[[Any], Encoded], Callable[[Path], Any]]] = {
    "text": (str, lambda text: Encoded(text.encode(), "text/plain"), _decode_text),
    "image": (Image, _encode_image, _decode_image),
    "mask": (Image, lambda image: _encode_image(_as_mask(image)), lambda path: _as_mask(_decode_image(path))),
    "audio": (Audio, _encode_audio, _decode_audio),
    "video": (Video, lambda video: Encoded(video.path, _expect_family(head_of(video.path), "video")), _decode_video),
    "file": (File, lambda file: Encoded(file.path, media_type_of(head_of(file.path), file.path.name)), File),
    "data": (object, _encode_data, _decode_data),
}

"""Codecs: each artifact's way from Python value to bytes and back. Nothing is stored here.

Files may come from anyone: no header is trusted, and what is broken or too large gives InvalidInput.
"""

from __future__ import annotations

import contextlib
import io
import json
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import PIL.Image

from stable_core.errors import InvalidInput
from stable_core.sdk.artifacts import Audio, Data, File, Image, Video, fits, media_type_of, suffix_of, type_of

__all__ = ["Encoded", "decode", "describe", "encode", "fits", "media_type_of", "suffix_of", "type_of"]

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
        InvalidInput: the value is not of that type.
    """
    cls, encode_value, _ = _CODECS[type_name]
    if not isinstance(value, cls):
        raise InvalidInput(f"The {type_name} must be of type {cls.__name__}, not {type(value).__name__}.")
    return encode_value(value)


def decode(type_name: str, path: Path, media_type: str) -> Any:
    """Return the Python value that a port of this type gets for a stored file.

    Raises:
        InvalidInput: the file is broken, too large or of another kind.
    """
    return _CODECS[type_name][2](path, media_type)


def describe(path: Path, media_type: str) -> dict[str, Any]:
    """Return the details of a stored file from its header: cheap, and safe with files from strangers.

    Images give width, height and, if they hold generation data, parameters; WAV and FLAC give sample_rate, channels
    and seconds, or nothing if they are broken.

    Raises:
        InvalidInput: an image that cannot be opened or is too large.
    """
    if media_type.startswith("image/"):
        with _open_image(path) as image:
            details = _image_details(image)
            if _exif(image, 0x0112) in (5, 6, 7, 8):  # orientation: stored on its side
                details |= {"width": image.height, "height": image.width}
            return details
    if media_type in _SOUND_HEADERS:
        with path.open("rb") as file:
            return _sound_details(file, media_type)
    return {}


# Text and data


def _encode_text(value: str) -> Encoded:
    try:
        return Encoded(value.encode(), "text/plain")
    except UnicodeEncodeError as error:
        raise InvalidInput(f"The text is not Unicode: {error.reason}.") from None


def _decode_text(path: Path, media_type: str) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput(f"This {media_type} file is not UTF-8 text.", "Save it as UTF-8.") from None


def _encode_data(value: Any) -> Encoded:
    bare = value.value if isinstance(value, Data) else value
    try:
        return Encoded(json.dumps(bare, ensure_ascii=False, allow_nan=False).encode(), "application/json")
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"This value has no form in JSON: {error}.") from None


def _decode_data(path: Path, media_type: str) -> Data:
    try:
        return Data(json.loads(path.read_bytes().decode("utf-8-sig"), parse_constant=_refuse_constant))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"This {media_type} file is not JSON: {error}.") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not allowed")


# Images and masks


def _encode_image(image: Image) -> Encoded:
    return _encode_png(_standard_mode(image))


def _encode_mask(image: Image) -> Encoded:
    return _encode_png(_as_mask(image))


def _encode_png(image: Image) -> Encoded:
    if 0 in image.size:
        raise InvalidInput(f"An image of {image.width} x {image.height} pixels is empty.")
    details = _image_details(image)
    if "transparency" in image.info:  # Pillow would write it for a mode that it may not fit
        image = image.copy()
        del image.info["transparency"]
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=COMPRESS_LEVEL)
    return Encoded(buffer.getvalue(), "image/png", details)


def _decode_image(path: Path, media_type: str) -> Image:
    from PIL import ImageOps  # only where an image is read: it would delay the start of every worker

    with _open_image(path) as opened:
        parameters = _image_details(opened).get("parameters")
        try:
            opened.load()
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - decoders raise OSError, SyntaxError, struct.error, ValueError …
            raise _broken(error) from None
        with contextlib.suppress(Exception):  # a broken EXIF block is no reason to refuse the picture
            ImageOps.exif_transpose(opened, in_place=True)
        image = _standard_mode(opened)
    if image.mode == "I;16":
        image = _eight_bits(image)
    profile = image.info.get("icc_profile") if image.mode == opened.mode else None
    kept = {"parameters": parameters, "icc_profile": profile}
    image.info = {name: value for name, value in kept.items() if value}
    return image


def _decode_mask(path: Path, media_type: str) -> Image:
    return _as_mask(_decode_image(path, media_type))


def _open_image(path: Path) -> Image:
    try:
        image = PIL.Image.open(path, formats=IMAGE_FORMATS)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        raise _broken(error) from None
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise _broken(PIL.Image.DecompressionBombError())
    return image


def _broken(error: Exception) -> InvalidInput:
    if isinstance(error, (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning)):
        return InvalidInput("The image is too large.", f"Images may have up to {MAX_PIXELS:,} pixels.")
    if isinstance(error, PIL.UnidentifiedImageError):
        return InvalidInput("This is not an image that can be read.", f"Known formats are {', '.join(IMAGE_FORMATS)}.")
    return InvalidInput(f"The image is broken: {error}.", "Open it in an image editor and save it again.")


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
    if standard.mode == "RGBA":
        black = PIL.Image.new("RGBA", standard.size, (0, 0, 0, 255))
        black.alpha_composite(standard)
        return black.convert("L")
    return standard.convert("L")


def _eight_bits(image: Image) -> Image:
    """Return a 16-bit image scaled to 8 bits; Pillow's own conversion would turn all that is not black white."""
    return image.point(lambda value: value / 256).convert("L")


def _image_details(image: Image) -> dict[str, Any]:
    details: dict[str, Any] = {"width": image.width, "height": image.height}
    parameters = image.info.get("parameters") or _user_comment(image)
    if isinstance(parameters, str) and parameters.strip():
        details["parameters"] = parameters[:MAX_PARAMETERS]
    return details


def _user_comment(image: Image) -> str:
    """Return the EXIF user comment: where generation data lives in formats without text chunks."""
    raw = _exif(image, 0x9286, 0x8769)
    if not isinstance(raw, bytes) or not raw.startswith(b"UNICODE\0"):
        return raw if isinstance(raw, str) else ""
    return raw[8:].decode("utf-16-be" if raw[8:9] == b"\0" else "utf-16-le", "ignore")


def _exif(image: Image, tag: int, block: int | None = None) -> Any:
    try:
        exif = image.getexif()
        return (exif.get_ifd(block) if block else exif).get(tag)
    except Exception:  # noqa: BLE001 - a broken EXIF block is no reason to refuse the picture
        return None


# Audio


class Pcm(NamedTuple):
    """Sound as interleaved little-endian samples of `sample_bytes` each; 8-bit samples are unsigned, as in WAV."""

    samples: bytes
    sample_rate: int
    channels: int = 1
    sample_bytes: int = 2


def audio_from_pcm(pcm: Pcm) -> Audio:
    """Return the samples as a WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((pcm.channels, pcm.sample_bytes, pcm.sample_rate, 0, "NONE", ""))
        file.writeframes(pcm.samples)
    return Audio(buffer.getvalue())


def audio_to_pcm(audio: Audio) -> Pcm:
    """Return the samples of a WAV file of integers, or of any other file if `soundfile` is installed, as 16 bit.

    Raises:
        InvalidInput: the file is broken, or needs `soundfile`.
    """
    with contextlib.suppress(wave.Error, EOFError), wave.open(io.BytesIO(audio.content)) as file:
        channels, sample_bytes, sample_rate, frames, _, _ = file.getparams()
        return Pcm(file.readframes(frames), sample_rate, channels, sample_bytes)
    try:
        import soundfile  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        hint = "Add soundfile to the plugin's dependencies, or send 16-bit WAV."
        raise InvalidInput(f"This {audio.media_type} file cannot be read here.", hint) from None
    try:
        samples, sample_rate = soundfile.read(io.BytesIO(audio.content), dtype="int16", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise InvalidInput(f"The audio file is broken: {error}.") from None
    return Pcm(samples.astype("<i2").tobytes(), sample_rate, samples.shape[1])


def _encode_audio(value: Audio) -> Encoded:
    media_type = _expect_family(value.content[:_HEAD_BYTES], "audio")
    return Encoded(value.content, media_type, _sound_details(io.BytesIO(value.content), media_type))


def _decode_audio(path: Path, media_type: str) -> Audio:
    content = path.read_bytes()
    return Audio(content, _expect_family(content[:_HEAD_BYTES], "audio"))


def _sound_details(file: BinaryIO, media_type: str) -> dict[str, Any]:
    try:
        sample_rate, channels, frames = _SOUND_HEADERS[media_type](file)
        return {"sample_rate": sample_rate, "channels": channels, "seconds": round(frames / sample_rate, 3)}
    except (ArithmeticError, LookupError, OSError):
        return {}


def _read_wav_header(file: BinaryIO) -> tuple[int, int, int]:
    """Read the chunks of a WAV file; unlike `wave` it knows floats and extensible headers. Source: RIFF WAVE, 1991."""
    file_bytes = file.seek(0, io.SEEK_END)
    place, fmt = 12, b""
    for _ in range(64):  # chunks; a file with more is not worth the walk
        file.seek(place)
        header = file.read(8)
        size = int.from_bytes(header[4:], "little")
        if header[:4] == b"fmt ":
            fmt = file.read(16)
        elif header[:4] == b"data":
            channels, rate, frame_bytes = (int.from_bytes(fmt[a:b], "little") for a, b in ((2, 4), (4, 8), (12, 14)))
            return rate, channels, min(size, file_bytes - place - 8) // frame_bytes
        place += 8 + size + size % 2
    raise LookupError("no sound in the file")


def _read_flac_header(file: BinaryIO) -> tuple[int, int, int]:
    """Read the STREAMINFO block. Source: RFC 9639, section 8.2."""
    packed = int.from_bytes(file.read(26)[18:], "big")  # bits: 20 rate, 3 channels - 1, 5 sample size - 1, 36 samples
    return packed >> 44, (packed >> 41 & 7) + 1, packed & (2**36 - 1)


_SOUND_HEADERS: dict[str, Callable[[BinaryIO], tuple[int, int, int]]] = {
    "audio/wav": _read_wav_header,
    "audio/flac": _read_flac_header,
}


# Video and files


def _encode_video(value: Video) -> Encoded:
    return Encoded(value.path, _expect_family(_head(value.path), "video"))


def _decode_video(path: Path, media_type: str) -> Video:
    _expect_family(_head(path), "video")
    return Video(path)


def _encode_file(value: File) -> Encoded:
    return Encoded(value.path, media_type_of(_head(value.path), value.path.name))


def _decode_file(path: Path, media_type: str) -> File:
    return File(path)


def _head(path: Path) -> bytes:
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


_CODECS: dict[str, tuple[type, Callable[[Any], Encoded], Callable[[Path, str], Any]]] = {
    "text": (str, _encode_text, _decode_text),
    "image": (Image, _encode_image, _decode_image),
    "mask": (Image, _encode_mask, _decode_mask),
    "audio": (Audio, _encode_audio, _decode_audio),
    "video": (Video, _encode_video, _decode_video),
    "file": (File, _encode_file, _decode_file),
    "data": (object, _encode_data, _decode_data),
}

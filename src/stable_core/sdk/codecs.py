"""Codecs: each artifact's way from Python value to bytes and back. Nothing is stored here.

Files may come from anyone: no header is trusted, and what is broken or too large gives InvalidInput.
"""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import PIL.Image
from PIL.Image import Transpose

from stable_core.errors import InvalidInput
from stable_core.sdk.artifacts import Audio, Data, File, Image, Video, fits, media_type_of, suffix_of, type_of

__all__ = [
    "Encoded",
    "Pcm",
    "audio_from_pcm",
    "audio_to_pcm",
    "decode",
    "describe",
    "encode",
    "fits",
    "media_type_of",
    "suffix_of",
    "type_of",
]

MAX_PIXELS = 2**28
"""The largest picture that is opened, in pixels: 16,384 x 16,384."""

MAX_PARAMETERS = 2**16
"""The longest generation data that is kept from an image, in characters."""

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
COMPRESS_LEVEL = 1
_HEAD_BYTES = 4096
_TEXT_HINT = "Save it as UTF-8."

# Pillow warns above this size and raises above twice of it; ours is the limit that counts, so the two agree.
PIL.Image.MAX_IMAGE_PIXELS = MAX_PIXELS


@dataclass(frozen=True)
class Encoded:
    """A value as it is stored: its bytes, or the path of a file too large to hold, and what it is like."""

    content: bytes | Path
    media_type: str
    details: dict[str, Any] = field(default_factory=dict)


class Pcm(NamedTuple):
    """Sound as interleaved little-endian samples of `sample_bytes` each; 8-bit samples are unsigned, as in WAV."""

    samples: bytes
    sample_rate: int
    channels: int = 1
    sample_bytes: int = 2


def encode(type_name: str, value: Any) -> Encoded:
    """Return the bytes, media type and details of a value of an artifact type.

    Raises:
        InvalidInput: the value is not of that type.
    """
    return _ENCODERS[type_name](value)


def decode(type_name: str, path: Path, media_type: str) -> Any:
    """Return the Python value that a port of this type gets for a stored file.

    Raises:
        InvalidInput: the file is broken, too large or of another kind.
    """
    return _DECODERS[type_name](path, media_type)


def describe(path: Path, media_type: str) -> dict[str, Any]:
    """Return the details of a stored file from its header: cheap, and safe with files from strangers.

    Images give width, height and parameters (generation data); WAV and FLAC give sample_rate, channels and seconds;
    MP4 gives seconds. What cannot be read is left out.

    Raises:
        InvalidInput: an image that cannot be opened or is too large.
    """
    if media_type.startswith("image/"):
        with _open_image(path) as image:
            details = _image_details(image)
            if _orientation(image) >= 5:  # stored on its side
                details |= {"width": image.height, "height": image.width}
            return details
    with path.open("rb") as file:
        read = {"audio/wav": _wav_details, "audio/flac": _flac_details, "video/mp4": _mp4_details}.get(media_type)
        return _read_or_nothing(read, file) if read else {}


# Text and data


def _encode_text(value: Any) -> Encoded:
    _expect(value, str, "text")
    try:
        return Encoded(value.encode(), "text/plain")
    except UnicodeEncodeError as error:
        raise InvalidInput(f"The text is not Unicode: {error.reason}.") from None


def _decode_text(path: Path, media_type: str) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput(f"This {media_type} file is not UTF-8 text.", _TEXT_HINT) from None


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


def _encode_image(value: Any) -> Encoded:
    _expect(value, Image, "image")
    return _encode_png(_standard_mode(value))


def _encode_mask(value: Any) -> Encoded:
    _expect(value, Image, "mask")
    return _encode_png(_as_mask(value))


def _encode_png(image: Image) -> Encoded:
    if 0 in image.size:
        raise InvalidInput(f"An image of {image.width} x {image.height} pixels is empty.")
    details = _image_details(image)
    buffer = io.BytesIO()
    plain = image.copy() if "transparency" in image.info else image
    plain.info.pop("transparency", None)  # Pillow would write it for a mode that it may not fit
    plain.save(buffer, "PNG", compress_level=COMPRESS_LEVEL)
    return Encoded(buffer.getvalue(), "image/png", details)


def _decode_image(path: Path, media_type: str) -> Image:
    with _open_image(path) as opened:
        parameters = _image_details(opened).get("parameters")
        try:
            opened.load()
            image = _standard_mode(_upright(opened))
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - decoders raise OSError, SyntaxError, struct.error, ValueError …
            raise _broken(error) from None
    profile = image.info.get("icc_profile") if image.mode == opened.mode else None
    if image.mode == "I;16":
        image = _eight_bits(image)
    kept = {"parameters": parameters, "icc_profile": profile}
    image.info = {name: value for name, value in kept.items() if value}
    return image


def _decode_mask(path: Path, media_type: str) -> Image:
    return _as_mask(_decode_image(path, media_type))


def _open_image(path: Path) -> Image:
    try:
        image = PIL.Image.open(path, formats=IMAGE_FORMATS)
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning):
        raise InvalidInput(*_TOO_LARGE) from None
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        raise _broken(error) from None
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise InvalidInput(*_TOO_LARGE)
    return image


_TOO_LARGE = ("The image is too large.", f"Images may have up to {MAX_PIXELS:,} pixels.")


def _broken(error: Exception) -> InvalidInput:
    if isinstance(error, PIL.UnidentifiedImageError):
        return InvalidInput("This is not an image that can be read.", f"Known formats are {', '.join(IMAGE_FORMATS)}.")
    return InvalidInput(f"The image is broken: {error}.", "Open it in an image editor and save it again.")


_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


def _upright(image: Image) -> Image:
    """Turn the image as its EXIF orientation says. PIL.ImageOps does too, but copies an image that is upright."""
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # noqa: BLE001 - a broken EXIF block is no reason to refuse the picture
        return 1


def _standard_mode(image: Image) -> Image:
    """Return the image in mode L, RGB, RGBA or I;16, without loss where one of these can hold it."""
    mode = image.mode
    if mode == "La":
        image, mode = image.convert("LA"), "LA"
    if image.has_transparency_data and mode not in ("RGBA", "I;16"):
        return image.convert("RGBA")
    if mode in ("RGB", "RGBA", "L", "I;16"):
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
    parameters = image.info.get("parameters") or _exif_comment(image)
    if isinstance(parameters, str) and parameters.strip():
        details["parameters"] = parameters[:MAX_PARAMETERS]
    return details


def _exif_comment(image: Image) -> str:
    """Return the EXIF user comment: where generation data lives in formats without text chunks."""
    try:
        raw = image.getexif().get_ifd(0x8769).get(0x9286) if "exif" in image.info else b""
    except Exception:  # noqa: BLE001 - a broken EXIF block is no reason to refuse the picture
        return ""
    if isinstance(raw, str):
        return raw
    if not isinstance(raw, bytes) or not raw.startswith(b"UNICODE\0"):
        return ""
    text = raw[8:]
    return text.decode("utf-16-be" if text[:1] == b"\0" else "utf-16-le", "ignore")


# Audio


def audio_from_pcm(pcm: Pcm) -> Audio:
    """Return the samples as a WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(pcm.channels)
        file.setsampwidth(pcm.sample_bytes)
        file.setframerate(pcm.sample_rate)
        file.writeframes(pcm.samples)
    return Audio(buffer.getvalue())


def audio_to_pcm(audio: Audio) -> Pcm:
    """Return the samples of a WAV file of integers, or of any other file if `soundfile` is installed, as 16 bit.

    Raises:
        InvalidInput: the file is broken, or needs `soundfile`.
    """
    try:
        with wave.open(io.BytesIO(audio.content)) as file:
            samples = file.readframes(file.getnframes())
            return Pcm(samples, file.getframerate(), file.getnchannels(), file.getsampwidth())
    except (wave.Error, EOFError):
        pass  # not a WAV file of integers
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


def _encode_audio(value: Any) -> Encoded:
    _expect(value, Audio, "audio")
    media_type = media_type_of(value.content[:_HEAD_BYTES])
    if not media_type.startswith("audio/"):
        raise InvalidInput("The audio is no known sound file.", "Make one with audio_from_pcm, or give FLAC bytes.")
    read = {"audio/wav": _wav_details, "audio/flac": _flac_details}.get(media_type)
    return Encoded(value.content, media_type, _read_or_nothing(read, io.BytesIO(value.content)) if read else {})


def _decode_audio(path: Path, media_type: str) -> Audio:
    content = path.read_bytes()
    if not media_type_of(content[:_HEAD_BYTES]).startswith("audio/"):
        raise InvalidInput(f"This {media_type} file is not a sound file.", "Send WAV or FLAC.")
    return Audio(content, media_type)


def _wav_details(file: BinaryIO) -> dict[str, Any]:
    """Read the chunks of a WAV file; unlike `wave` it knows floats and extensible headers. Source: RIFF WAVE, 1991."""
    file.seek(12)
    channels = sample_rate = frame_bytes = 0
    while len(header := file.read(8)) == 8:
        size = int.from_bytes(header[4:], "little")
        if header[:4] == b"fmt ":
            fmt = file.read(16)
            file.seek(size + size % 2 - 16, io.SEEK_CUR)
            channels, sample_rate = int.from_bytes(fmt[2:4], "little"), int.from_bytes(fmt[4:8], "little")
            frame_bytes = int.from_bytes(fmt[12:14], "little")
        elif header[:4] == b"data":
            return _sound(sample_rate, channels, min(size, _bytes_left(file)) // frame_bytes)
        else:
            file.seek(size + size % 2, io.SEEK_CUR)
    return {}


def _flac_details(file: BinaryIO) -> dict[str, Any]:
    """Read the STREAMINFO block. Source: RFC 9639, section 8.2."""
    packed = int.from_bytes(file.read(26)[18:], "big")  # bits: 20 rate, 3 channels - 1, 5 sample size - 1, 36 samples
    return _sound(packed >> 44, (packed >> 41 & 7) + 1, packed & (2**36 - 1))


def _sound(sample_rate: int, channels: int, frames: int) -> dict[str, Any]:
    return {"sample_rate": sample_rate, "channels": channels, "seconds": round(frames / sample_rate, 3)}


# Video and files


def _encode_video(value: Any) -> Encoded:
    _expect(value, Video, "video")
    media_type = _media_type_of_file(value.path)
    if not media_type.startswith("video/"):
        raise InvalidInput(f"{value.path.name} is no known video file.", "Give MP4, WebM, MOV or AVI.")
    return Encoded(value.path, media_type, describe(value.path, media_type))


def _decode_video(path: Path, media_type: str) -> Video:
    if not _media_type_of_file(path).startswith("video/"):
        raise InvalidInput(f"This {media_type} file is not a video.", "Send MP4, WebM, MOV or AVI.")
    return Video(path)


def _encode_file(value: Any) -> Encoded:
    _expect(value, File, "file")
    return Encoded(value.path, _media_type_of_file(value.path))


def _decode_file(path: Path, media_type: str) -> File:
    return File(path)


def _media_type_of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return media_type_of(file.read(_HEAD_BYTES), path.name)
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror}.") from None


def _mp4_details(file: BinaryIO) -> dict[str, Any]:
    """Find moov/mvhd and read its time scale and duration. Source: ISO/IEC 14496-12, section 8.2.2."""
    for _ in range(64):  # boxes, then the boxes inside moov; more are not worth the walk
        header = file.read(8)
        size, kind = int.from_bytes(header[:4], "big"), header[4:]
        if kind == b"moov":
            continue
        if kind == b"mvhd":
            body = file.read(32)
            wide = body[0] == 1
            scale = int.from_bytes(body[20:24] if wide else body[12:16], "big")
            return {"seconds": round(int.from_bytes(body[24:32] if wide else body[16:20], "big") / scale, 3)}
        skip = int.from_bytes(file.read(8), "big") - 16 if size == 1 else size - 8
        if skip < 0:
            break
        file.seek(skip, io.SEEK_CUR)
    return {}


def _bytes_left(file: BinaryIO) -> int:
    here = file.tell()
    left = file.seek(0, io.SEEK_END) - here
    file.seek(here)
    return left


def _read_or_nothing(read: Callable[[BinaryIO], dict[str, Any]], file: BinaryIO) -> dict[str, Any]:
    """Return what a header tells; nothing when it is broken, which the one who opens the file will say better."""
    try:
        return read(file)
    except (ArithmeticError, LookupError, ValueError, OSError):
        return {}


def _expect(value: Any, cls: type, port: str) -> None:
    if not isinstance(value, cls):
        raise InvalidInput(f"The {port} must be of type {cls.__name__}, not {type(value).__name__}.")


_ENCODERS: dict[str, Callable[[Any], Encoded]] = {
    "text": _encode_text,
    "image": _encode_image,
    "mask": _encode_mask,
    "audio": _encode_audio,
    "video": _encode_video,
    "file": _encode_file,
    "data": _encode_data,
}
_DECODERS: dict[str, Callable[[Path, str], Any]] = {
    "text": _decode_text,
    "image": _decode_image,
    "mask": _decode_mask,
    "audio": _decode_audio,
    "video": _decode_video,
    "file": _decode_file,
    "data": _decode_data,
}

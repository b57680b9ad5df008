"""Sound: samples become WAV or FLAC files and back, and headers are read. How artifacts are stored is in codecs.

WAV takes the standard library, FLAC the package soundfile, which a plugin that wants it names as a dependency.
"""

from __future__ import annotations

import io
import wave
from typing import Any, BinaryIO, NamedTuple

from stable_core.errors import InvalidInput
from stable_core.sdk.artifacts import Audio, media_type_of

_FLAC_SUBTYPES = {1: "PCM_S8", 2: "PCM_16", 3: "PCM_24"}
"""libsndfile's names of what FLAC can hold, by the bytes of a sample."""


class Pcm(NamedTuple):
    """Sound as interleaved little-endian samples of `sample_bytes` each; 8-bit samples are unsigned, as in WAV."""

    samples: bytes
    sample_rate: int
    channels: int = 1
    sample_bytes: int = 2


def audio_from_pcm(pcm: Pcm, media_type: str = "audio/wav") -> Audio:
    """Return the samples as a WAV file or, with `audio/flac`, a FLAC file.

    Raises:
        InvalidInput: the samples cannot be written in this format, or soundfile is missing.
    """
    buffer = io.BytesIO()
    if media_type == "audio/wav":
        with wave.open(buffer, "wb") as file:
            file.setparams((pcm.channels, pcm.sample_bytes, pcm.sample_rate, 0, "NONE", ""))
            file.writeframes(pcm.samples)
        return Audio(buffer.getvalue())
    if media_type != "audio/flac" or pcm.sample_bytes not in _FLAC_SUBTYPES:
        what = f"Samples of {8 * pcm.sample_bytes} bits cannot be written as {media_type}."
        raise InvalidInput(what, "WAV takes 8 to 32 bits, FLAC 8 to 24.")
    soundfile = _soundfile()
    facts = {"format": "FLAC", "subtype": _FLAC_SUBTYPES[pcm.sample_bytes]}
    try:
        with soundfile.SoundFile(buffer, "w", pcm.sample_rate, pcm.channels, **facts) as file:
            file.buffer_write(_widened(pcm.samples, pcm.sample_bytes), dtype="int32")
    except (soundfile.LibsndfileError, ValueError) as error:
        raise InvalidInput(f"These samples cannot be written as FLAC: {error}.") from None
    return Audio(buffer.getvalue(), media_type)


def audio_to_pcm(audio: Audio) -> Pcm:
    """Return the samples of a WAV file of integers or a FLAC file.

    Raises:
        InvalidInput: the file is broken or of another kind, or it is FLAC and soundfile is missing.
    """
    if media_type_of(audio.content[:64]) == "audio/flac":
        return _pcm_from_flac(audio)
    try:
        with wave.open(io.BytesIO(audio.content)) as file:
            channels, sample_bytes, sample_rate, frames, _, _ = file.getparams()
            return Pcm(file.readframes(frames), sample_rate, channels, sample_bytes)
    except (wave.Error, EOFError):
        hint = "Send FLAC or 16-bit WAV; a plugin reads other files with a package such as soundfile."
        raise InvalidInput(f"This {audio.media_type} file is no WAV file of integers.", hint) from None


def _pcm_from_flac(audio: Audio) -> Pcm:
    soundfile = _soundfile()
    try:
        with soundfile.SoundFile(io.BytesIO(audio.content)) as file:
            sample_bytes = next(size for size, subtype in _FLAC_SUBTYPES.items() if subtype == file.subtype)
            samples = _narrowed(bytes(file.buffer_read(dtype="int32")), sample_bytes)
            return Pcm(samples, file.samplerate, file.channels, sample_bytes)
    except soundfile.LibsndfileError as error:
        hint = "Save it again with another program."
        raise InvalidInput(f"This audio/flac file cannot be read: {error}.", hint) from None


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: the system has no libsndfile and the package brought none
        hint = "Add soundfile to the plugin's dependencies; here, `pip install soundfile`."
        raise InvalidInput("FLAC needs the package soundfile, which is not installed.", hint) from None
    return soundfile


def _widened(samples: bytes, sample_bytes: int) -> bytes:
    """Return samples as signed 32-bit ones, which are as loud."""
    wide = bytearray(len(samples) // sample_bytes * 4)
    for byte in range(sample_bytes):
        wide[4 - sample_bytes + byte :: 4] = samples[byte::sample_bytes]
    if sample_bytes == 1:
        wide[3::4] = wide[3::4].translate(_OTHER_SIGN)
    return bytes(wide)


def _narrowed(wide: bytes, sample_bytes: int) -> bytes:
    """Return signed 32-bit samples as shorter ones, which are as loud."""
    samples = bytearray(len(wide) // 4 * sample_bytes)
    for byte in range(sample_bytes):
        samples[byte::sample_bytes] = wide[4 - sample_bytes + byte :: 4]
    return bytes(samples.translate(_OTHER_SIGN) if sample_bytes == 1 else samples)


_OTHER_SIGN = bytes(value ^ 0x80 for value in range(256))
"""Turns an unsigned byte into a signed one of the same loudness and back."""


def audio_details(file: BinaryIO, media_type: str) -> dict[str, Any]:
    """Return sample_rate, channels and seconds from a WAV or FLAC header; nothing of a broken one or another file."""
    frames, rate, channels = 0, 0, 0
    if media_type == "audio/wav":
        frames, rate, channels = _wav_header(file)
    elif media_type == "audio/flac":
        frames, rate, channels = _flac_header(file)
    return {"sample_rate": rate, "channels": channels, "seconds": round(frames / rate, 3)} if rate else {}


def _wav_header(file: BinaryIO) -> tuple[int, int, int]:
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
            frames = min(size, file_bytes - place - 8) // frame_bytes if frame_bytes else 0
            return frames, rate if frame_bytes else 0, channels
        place += 8 + size + size % 2
    return 0, 0, 0


def _flac_header(file: BinaryIO) -> tuple[int, int, int]:
    """Read the STREAMINFO block, which comes first. Source: RFC 9639, section 8.2."""
    head = file.read(26)
    facts = int.from_bytes(head[18:], "big")  # 20 bits sample rate, 3 channels - 1, 5 sample bits - 1, 36 frames
    is_whole = len(head) == 26 and head[4] & 0x7F == 0
    return (facts & 2**36 - 1, facts >> 44, (facts >> 41 & 7) + 1) if is_whole else (0, 0, 0)

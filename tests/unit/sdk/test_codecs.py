"""Codecs: there and back for every type, and every odd file that people and attackers send."""

from __future__ import annotations

import array
import io
import math
import random
import struct
import sys
import wave
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import soundfile
from PIL.PngImagePlugin import PngInfo

from stable_core.errors import InvalidInput
from stable_core.sdk import Audio, Data, File, Video, codecs
from stable_core.sdk.artifacts import ARTIFACT_TYPES, media_type_of
from stable_core.sdk.audio import Pcm, audio_from_pcm, audio_to_pcm
from stable_core.sdk.codecs import MAX_PARAMETERS, MAX_PIXELS, decode, describe, encode

Store = Callable[[bytes], Path]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a function that writes bytes into a file, as the artifact store does: without an ending."""

    def write(content: bytes) -> Path:
        path = tmp_path / "artifact"
        path.write_bytes(content)
        return path

    return write


def saved(image: PIL.Image.Image, name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def solid(mode: str = "RGB", color: Any = None, size: tuple[int, int] = (4, 2)) -> PIL.Image.Image:
    return PIL.Image.new(mode, size, color if color is not None else 0)


def read(path: Path, port: str = "image") -> PIL.Image.Image:
    image: PIL.Image.Image = decode(port, path, media_type_of(path.read_bytes()[:64]))
    return image


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that claims a size and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


class TestText:
    @pytest.mark.parametrize("text", ["", "a red circle", "ein schöner Kreis 🔴", "two\nlines"])
    def test_there_and_back(self, store: Store, text: str) -> None:
        encoded = encode("text", text)
        assert (encoded.media_type, encoded.details) == ("text/plain", {})
        assert isinstance(encoded.content, bytes)
        assert decode("text", store(encoded.content), "text/plain") == text

    def test_a_byte_order_mark_is_no_text(self, store: Store) -> None:
        assert decode("text", store(b"\xef\xbb\xbfcat"), "text/plain") == "cat"

    def test_what_is_no_utf8_is_refused(self, store: Store) -> None:
        with pytest.raises(InvalidInput, match="cannot be read as text") as caught:
            decode("text", store(b"\xff\xfeKreis"), "application/octet-stream")
        assert caught.value.hint == "Save text and JSON as UTF-8."

    def test_what_is_no_unicode_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="This text cannot be written"):
            encode("text", "\ud800")


class TestData:
    @pytest.mark.parametrize("value", [{}, {"a": [1, 2.5, None, True]}, [], "text", 0, None, {"ä": "ö"}])
    def test_there_and_back(self, store: Store, value: Any) -> None:
        encoded = encode("data", Data(value))
        assert encoded.media_type == "application/json"
        assert isinstance(encoded.content, bytes)
        assert decode("data", store(encoded.content), "application/json") == Data(value)

    def test_a_bare_value_will_do(self) -> None:
        assert encode("data", {"a": 1}).content == encode("data", Data({"a": 1})).content

    @pytest.mark.parametrize("value", [{1, 2}, float("nan"), float("inf"), object(), {(1, 2): 3}, b"bytes"])
    def test_what_has_no_form_in_json(self, value: Any) -> None:
        with pytest.raises(InvalidInput, match="This data cannot be written"):
            encode("data", value)

    def test_a_value_that_holds_itself(self) -> None:
        loop: list[Any] = []
        loop.append(loop)
        with pytest.raises(InvalidInput, match="This data cannot be written"):
            encode("data", loop)

    @pytest.mark.parametrize(
        "content", [b"", b"{", b"{'a': 1}", b"NaN", b"[Infinity]", b"\xff", b"[" * 100_000, b"9" * 10_000]
    )
    def test_what_is_no_json(self, store: Store, content: bytes) -> None:
        with pytest.raises(InvalidInput, match="cannot be read as data"):
            decode("data", store(content), "application/json")

    def test_json_can_be_read_as_text(self, store: Store) -> None:
        assert decode("text", store(b'{"a": 1}'), "application/json") == '{"a": 1}'


class TestImagesOut:
    @pytest.mark.parametrize(
        ("mode", "kept"),
        [
            *(("L", "L"), ("RGB", "RGB"), ("RGBA", "RGBA"), ("I;16", "I;16")),
            *(("1", "L"), ("P", "RGB"), ("LA", "RGBA"), ("La", "RGBA"), ("PA", "RGBA"), ("RGBa", "RGBA")),
            *(("CMYK", "RGB"), ("YCbCr", "RGB"), ("HSV", "RGB"), ("LAB", "RGB"), ("RGBX", "RGB")),
            *(("I", "I;16"), ("I;16B", "I;16"), ("F", "L")),
        ],
    )
    def test_every_mode_becomes_a_png(self, mode: str, kept: str) -> None:
        encoded = encode("image", solid(mode))
        assert (encoded.media_type, encoded.details) == ("image/png", {"width": 4, "height": 2})
        assert isinstance(encoded.content, bytes)
        with PIL.Image.open(io.BytesIO(encoded.content)) as image:
            assert (image.format, image.mode, image.size) == ("PNG", kept, (4, 2))

    def test_pixels_survive(self) -> None:
        picture = PIL.Image.linear_gradient("L").convert("RGB")
        encoded = encode("image", picture)
        assert isinstance(encoded.content, bytes)
        with PIL.Image.open(io.BytesIO(encoded.content)) as image:
            assert image.tobytes() == picture.tobytes()

    def test_sixteen_bits_survive(self) -> None:
        encoded = encode("image", solid("I;16", 40_000))
        assert isinstance(encoded.content, bytes)
        with PIL.Image.open(io.BytesIO(encoded.content)) as image:
            assert image.getpixel((0, 0)) == 40_000

    def test_equal_pictures_are_equal_bytes_whatever_they_say_of_themselves(self) -> None:
        told = solid()
        told.info["parameters"] = "a red circle\nSteps: 20"
        told.info["dpi"] = (72, 72)
        told.info["exif"] = b"Exif\0\0"
        encoded = encode("image", told)
        assert encoded.content == encode("image", solid()).content
        assert encoded.details["parameters"] == "a red circle\nSteps: 20"

    def test_what_a_job_notes_about_a_picture_is_a_detail_of_the_result(self) -> None:
        noted = solid()
        noted.info["notes"] = ["The prompt is too long"]
        encoded = encode("image", noted)
        assert encoded.details["notes"] == ["The prompt is too long"]
        assert encoded.content == encode("image", solid()).content
        noted.info["notes"] = "a text chunk of some file"
        assert "notes" not in encode("image", noted).details

    def test_transparency_that_does_not_fit_the_mode_is_dropped(self) -> None:
        deep = solid("I;16", 9)
        deep.info["transparency"] = (1, 2, 3)
        assert encode("image", deep).content == encode("image", solid("I;16", 9)).content
        assert "transparency" in deep.info

    def test_a_picture_without_pixels(self) -> None:
        with pytest.raises(InvalidInput, match="0 x 5 pixels is empty"):
            encode("image", PIL.Image.new("RGB", (0, 5)))

    @pytest.mark.parametrize("port", ["image", "mask"])
    def test_what_is_no_picture(self, port: str) -> None:
        with pytest.raises(InvalidInput, match=f"The {port} must be of type Image, not str"):
            encode(port, "picture.png")


class TestImagesIn:
    @pytest.mark.parametrize(
        ("content", "mode", "pixel"),
        [
            (saved(solid("1", 1), "PNG"), "L", 255),
            (saved(solid("L", 9), "PNG"), "L", 9),
            (saved(solid("L", 9), "PNG", transparency=9), "RGBA", (9, 9, 9, 0)),
            (saved(solid("LA", (9, 7)), "PNG"), "RGBA", (9, 9, 9, 7)),
            (saved(solid("P", 0), "PNG"), "RGB", (0, 0, 0)),
            (saved(solid("P", 0), "PNG", transparency=0), "RGBA", (0, 0, 0, 0)),
            (saved(solid("RGB", (1, 2, 3)), "PNG"), "RGB", (1, 2, 3)),
            (saved(solid("RGB", (1, 2, 3)), "PNG", transparency=(1, 2, 3)), "RGBA", (1, 2, 3, 0)),
            (saved(solid("RGBA", (1, 2, 3, 4)), "PNG"), "RGBA", (1, 2, 3, 4)),
            (saved(solid("I;16", 40_000), "PNG"), "L", 156),
            (saved(solid("I;16", 40_000), "PNG", transparency=40_000), "L", 156),
            (saved(solid("L", 9), "JPEG"), "L", 9),
            (saved(solid("CMYK", (0, 0, 0, 0)), "JPEG"), "RGB", (255, 255, 255)),
            (saved(solid("CMYK", (0, 255, 255, 0)), "TIFF"), "RGB", (255, 0, 0)),
            (saved(solid("RGB", (8, 8, 8)), "WEBP", lossless=True), "RGB", (8, 8, 8)),
            (saved(solid("RGBA", (8, 8, 8, 0)), "WEBP", lossless=True, exact=True), "RGBA", (8, 8, 8, 0)),
            (saved(solid("RGB", (8, 8, 8)), "BMP"), "RGB", (8, 8, 8)),
            (saved(solid("I;16", 65_535), "TIFF"), "L", 255),
            (saved(solid("I", 70_000), "TIFF"), "L", 255),
            (saved(solid("F", 0.5), "TIFF"), "L", 127),
            (saved(solid("F", 200.0), "TIFF"), "L", 200),
        ],
    )
    def test_modes_of_files(self, store: Store, content: bytes, mode: str, pixel: Any) -> None:
        image = read(store(content))
        assert (image.mode, image.size, image.getpixel((3, 1))) == (mode, (4, 2), pixel)
        assert image.info == {}

    @pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG"])
    def test_an_animation_gives_its_first_frame(self, store: Store, name: str) -> None:
        frames = [solid(color=color) for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
        content = saved(frames[0], name, save_all=True, append_images=frames[1:], duration=100)
        image = read(store(content))
        assert image.mode == "RGB"
        assert image.getpixel((0, 0)) == pytest.approx((255, 0, 0), abs=3)

    @pytest.mark.parametrize(
        ("orientation", "corner"),
        [(1, (0, 0)), (2, (3, 0)), (3, (3, 1)), (4, (0, 1)), (5, (0, 0)), (6, (1, 0)), (7, (1, 3)), (8, (0, 3))],
    )
    def test_pictures_are_turned_upright(self, store: Store, orientation: int, corner: tuple[int, int]) -> None:
        picture = solid()
        picture.putpixel((0, 0), (255, 255, 255))
        exif = PIL.Image.Exif()
        exif[0x0112] = orientation
        path = store(saved(picture, "PNG", exif=exif))
        image = read(path)
        assert image.getpixel(corner) == (255, 255, 255)
        assert image.size == ((4, 2) if orientation < 5 else (2, 4))
        assert describe(path, "image/png") == {"width": image.width, "height": image.height}

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF")
    def test_a_broken_exif_block_is_no_reason_to_refuse(self, store: Store) -> None:
        path = store(saved(solid(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xffgarbage"))
        assert read(path).size == (4, 2)
        assert describe(path, "image/jpeg") == {"width": 4, "height": 2}

    def test_a_colour_profile_stays_with_its_colours(self, store: Store) -> None:
        assert read(store(saved(solid(), "PNG", icc_profile=b"profile"))).info == {"icc_profile": b"profile"}
        assert read(store(saved(solid("CMYK"), "JPEG", icc_profile=b"profile"))).info == {}

    def test_one_pixel(self, store: Store) -> None:
        assert read(store(saved(solid(size=(1, 1)), "PNG"))).size == (1, 1)

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "not an image"),
            (b"\x89PNG\r\n\x1a\n", "not an image"),
            (b"no picture at all", "not an image"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
            (saved(solid(size=(64, 64)), "PNG")[:-30], "is broken"),
            (saved(PIL.Image.effect_noise((64, 64), 50), "JPEG")[:-900], "is broken"),
            (saved(PIL.Image.effect_noise((64, 64), 50), "WEBP")[:-900], "image"),
            (saved(PIL.Image.effect_noise((64, 64), 50), "TIFF")[:-900], "is broken"),
            (saved(PIL.Image.effect_noise((64, 64), 50), "GIF")[:-900], "is broken"),
            (png_header(8, 8), "is broken"),
            (png_header(0, 8), "image"),
        ],
    )
    @pytest.mark.parametrize("port", ["image", "mask"])
    def test_broken_and_foreign_files(self, store: Store, port: str, content: bytes, said: str) -> None:
        with pytest.raises(InvalidInput, match=said) as caught:
            decode(port, store(content), "image/png")
        assert caught.value.hint

    @pytest.mark.parametrize(("width", "height"), [(2**14 + 1, 2**14), (2**15, 2**14), (2**16, 2**16), (2**30, 2**30)])
    def test_bombs_are_refused_by_their_header(self, store: Store, width: int, height: int) -> None:
        path = store(png_header(width, height))
        for attempt in (lambda: read(path), lambda: describe(path, "image/png")):
            with pytest.raises(InvalidInput) as caught:
                attempt()
            assert f"{MAX_PIXELS:,}" in caught.value.hint

    def test_a_bomb_of_text(self, store: Store) -> None:
        text = chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"a" * 10**8))
        content = saved(solid(), "PNG")
        with pytest.raises(InvalidInput):
            read(store(content[:33] + text + content[33:]))

    def test_running_out_of_memory_is_not_the_files_fault(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        path = store(saved(solid(), "PNG"))

        def fail(*_: Any, **__: Any) -> None:
            raise MemoryError

        monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
        with pytest.raises(MemoryError):
            read(path)
        monkeypatch.setattr(PIL.Image, "open", fail)
        with pytest.raises(MemoryError):
            read(path)


class TestGenerationData:
    TEXT = "a red circle\nNegative prompt: ä\nSteps: 20, Seed: 7"

    def test_a_png_text_chunk(self, store: Store) -> None:
        info = PngInfo()
        info.add_itxt("parameters", self.TEXT)
        path = store(saved(solid(), "PNG", pnginfo=info))
        assert describe(path, "image/png")["parameters"] == self.TEXT
        assert read(path).info["parameters"] == self.TEXT
        assert encode("image", read(path)).details["parameters"] == self.TEXT

    @pytest.mark.parametrize("name", ["JPEG", "WEBP"])
    @pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le"])
    def test_a_user_comment(self, store: Store, name: str, encoding: str) -> None:
        exif = PIL.Image.Exif()
        exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + self.TEXT.encode(encoding)
        path = store(saved(solid(), name, exif=exif))
        assert describe(path, f"image/{name.lower()}")["parameters"] == self.TEXT
        assert read(path).info["parameters"] == self.TEXT

    def test_it_is_cut_where_it_is_longer_than_any_prompt(self) -> None:
        picture = solid()
        picture.info["parameters"] = "a" * (MAX_PARAMETERS + 1)
        assert len(encode("image", picture).details["parameters"]) == MAX_PARAMETERS

    @pytest.mark.parametrize("comment", [b"ASCII\0\0\0text", b"", b"\0" * 9])
    def test_other_comments_are_left_alone(self, store: Store, comment: bytes) -> None:
        exif = PIL.Image.Exif()
        exif.get_ifd(0x8769)[0x9286] = comment
        assert describe(store(saved(solid(), "JPEG", exif=exif)), "image/jpeg") == {"width": 4, "height": 2}


class TestMasks:
    @pytest.mark.parametrize(
        ("mode", "color", "expected"),
        [
            ("L", 77, 77),
            ("1", 1, 255),
            ("RGB", (255, 255, 255), 255),
            ("RGBA", (255, 255, 255, 0), 0),
            ("RGBA", (255, 255, 255, 255), 255),
            ("I;16", 65_535, 255),
        ],
    )
    def test_any_image_becomes_a_mask(self, store: Store, mode: str, color: Any, expected: int) -> None:
        encoded = encode("mask", solid(mode, color))
        assert isinstance(encoded.content, bytes)
        for content in (encoded.content, saved(solid(mode, color), "PNG")):
            mask = read(store(content), "mask")
            assert (mask.mode, mask.getpixel((0, 0))) == ("L", expected)


def float_wav() -> bytes:
    """Return a WAV file of 100 stereo frames of 32-bit floats at 8 kHz, with a chunk of odd length before the sound."""
    fmt = struct.pack("<HHIIHH", 3, 2, 8000, 64_000, 8, 32)
    body = b"WAVE" + b"fmt " + struct.pack("<I", 16) + fmt + b"LIST" + struct.pack("<I", 3) + b"abc\0"
    body += b"data" + struct.pack("<I", 800) + bytes(800)
    return b"RIFF" + struct.pack("<I", len(body)) + body


class TestAudio:
    PCM = Pcm(struct.pack("<8h", *range(0, 8000, 1000)), 4000, channels=2)

    def test_samples_there_and_back(self, store: Store) -> None:
        encoded = encode("audio", audio_from_pcm(self.PCM))
        assert encoded.media_type == "audio/wav"
        assert encoded.details == {"sample_rate": 4000, "channels": 2, "seconds": 0.001}
        assert isinstance(encoded.content, bytes)
        path = store(encoded.content)
        assert audio_to_pcm(decode("audio", path, "audio/wav")) == self.PCM
        assert describe(path, "audio/wav") == encoded.details

    def test_what_we_write_others_read(self) -> None:
        with wave.open(io.BytesIO(audio_from_pcm(self.PCM).content)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (4000, 2, 4)

    @pytest.mark.parametrize("sample_bytes", [1, 2, 3])
    @pytest.mark.parametrize("channels", [1, 2])
    def test_flac_there_and_back(self, store: Store, sample_bytes: int, channels: int) -> None:
        pcm = Pcm(random.Random(0).randbytes(4000 * sample_bytes * channels), 16_000, channels, sample_bytes)
        audio = audio_from_pcm(pcm, "audio/flac")
        encoded = encode("audio", audio)
        assert (encoded.media_type, encoded.content[:4]) == ("audio/flac", b"fLaC")  # type: ignore[index]
        assert encoded.details == {"sample_rate": 16_000, "channels": channels, "seconds": 0.25}
        path = store(audio.content)
        assert audio_to_pcm(decode("audio", path, "audio/flac")) == pcm
        assert describe(path, "audio/flac") == encoded.details

    def test_flac_is_smaller_and_others_read_it(self) -> None:
        tone = array.array("h", (int(20_000 * math.sin(place / 10)) for place in range(16_000)))
        pcm = Pcm(tone.tobytes(), 16_000)
        flac = audio_from_pcm(pcm, "audio/flac")
        assert len(flac.content) < len(audio_from_pcm(pcm).content) / 2
        samples, sample_rate = soundfile.read(io.BytesIO(flac.content), dtype="int16")
        assert (samples.tolist(), sample_rate) == (tone.tolist(), 16_000)

    def test_flac_of_others_is_read(self) -> None:
        buffer = io.BytesIO()
        soundfile.write(buffer, [[0.5, -0.5], [0.25, -1.0]], 44_100, format="FLAC", subtype="PCM_16")
        pcm = audio_to_pcm(Audio(buffer.getvalue(), "audio/flac"))
        assert pcm == Pcm(struct.pack("<4h", 16384, -16384, 8192, -32768), 44_100, 2)

    @pytest.mark.parametrize("media_type", ["audio/mpeg", "audio/flac"])
    def test_what_no_format_holds_is_refused(self, media_type: str) -> None:
        with pytest.raises(InvalidInput, match="32 bits cannot be written"):
            audio_from_pcm(Pcm(bytes(8), 8000, 1, 4), media_type)

    def test_samples_that_flac_refuses(self) -> None:
        with pytest.raises(InvalidInput, match="cannot be written as FLAC"):
            audio_from_pcm(Pcm(bytes(40), 8000, 20), "audio/flac")

    def test_broken_flac_is_refused(self) -> None:
        whole = audio_from_pcm(Pcm(bytes(8000), 8000), "audio/flac").content
        for content in (whole[:10], b"fLaC\0\0\0\x22"):
            with pytest.raises(InvalidInput, match="flac file cannot be read"):
                audio_to_pcm(Audio(content, "audio/flac"))

    def test_without_soundfile_flac_says_what_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        flac = audio_from_pcm(self.PCM, "audio/flac")
        monkeypatch.setitem(sys.modules, "soundfile", None)
        for attempt in (lambda: audio_to_pcm(flac), lambda: audio_from_pcm(self.PCM, "audio/flac")):
            with pytest.raises(InvalidInput, match="needs the package soundfile") as caught:
                attempt()
            assert "dependencies" in caught.value.hint
        assert encode("audio", flac).details["channels"] == 2, "it is stored and described all the same"

    def test_the_header_of_floats(self, store: Store) -> None:
        expected = {"sample_rate": 8000, "channels": 2, "seconds": 0.013}
        assert encode("audio", Audio(float_wav())).details == describe(store(float_wav()), "audio/wav") == expected

    @pytest.mark.parametrize("end", [0, 4, 12, 20, 30, 40])
    def test_cut_off_headers_tell_nothing(self, store: Store, end: int) -> None:
        assert describe(store(float_wav()[:end]), "audio/wav") == {}

    @pytest.mark.parametrize(
        "content",
        [
            b"RIFF\0\0\0\0WAVEdata\xff\xff\xff\xff",
            b"fLaC\0\0\0\x22",
            b"fLaC\0\0\0\x22" + bytes(100),
            b"fLaC\x01\0\0\x22" + b"\xff" * 100,
            b"RIFF\0\0\0\0WAVEfmt \0\0\0\0" + bytes(100),
            b"RIFF\0\0\0\0WAVE" + bytes(10**6),
            b"RIFF\0\0\0\0WAVE" + b"junk\xff\xff\xff\xff" * 9,
            b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + bytes(16) + b"data\x08\0\0\0" + bytes(8),
        ],
    )
    def test_hostile_headers_tell_nothing_and_take_no_time(self, store: Store, content: bytes) -> None:
        assert describe(store(content), media_type_of(content)) == {}

    def test_other_sound_is_passed_on_as_it_is(self, store: Store) -> None:
        assert encode("audio", Audio(b"OggS\0\x02" + bytes(20))).media_type == "audio/ogg"
        assert decode("audio", store(b"ID3\x04" + bytes(20)), "audio/mpeg").media_type == "audio/mpeg"

    def test_what_is_no_sound_is_refused(self, store: Store) -> None:
        for attempt in (lambda: encode("audio", Audio(b"text")), lambda: decode("audio", store(b"text"), "audio/wav")):
            with pytest.raises(InvalidInput, match="is not audio") as caught:
                attempt()
            assert "WAV" in caught.value.hint

    @pytest.mark.parametrize("content", [b"ID3", float_wav(), b"RIFF\0\0\0\0WAVE", b""])
    def test_samples_of_other_files_are_for_other_packages(self, content: bytes) -> None:
        with pytest.raises(InvalidInput, match="no WAV file of integers") as caught:
            audio_to_pcm(Audio(content))
        assert "soundfile" in caught.value.hint


class TestFiles:
    def test_a_video_goes_by_path(self, store: Store) -> None:
        path = store(b"\0\0\0\x18ftypisom" + bytes(40))
        encoded = encode("video", Video(path))
        assert (encoded.content, encoded.media_type, encoded.details) == (path, "video/mp4", {})
        assert decode("video", path, "video/mp4") == Video(path)
        assert describe(path, "video/mp4") == {}

    def test_what_is_no_video_is_refused(self, store: Store) -> None:
        path = store(b"text")
        for attempt in (lambda: encode("video", Video(path)), lambda: decode("video", path, "video/mp4")):
            with pytest.raises(InvalidInput, match="is not video"):
                attempt()

    def test_a_file_is_anything(self, tmp_path: Path) -> None:
        path = tmp_path / "graph.json"
        path.write_text('{"cut off')
        encoded = encode("file", File(path))
        assert (encoded.content, encoded.media_type) == (path, "application/json")
        assert decode("file", path, "image/png") == File(path)

    @pytest.mark.parametrize("value", [File, Video])
    def test_a_file_that_is_not_there(self, tmp_path: Path, value: Any) -> None:
        with pytest.raises(InvalidInput, match=r"gone\.mp4 cannot be read: No such file"):
            encode(value.__name__.lower(), value(tmp_path / "gone.mp4"))


@pytest.mark.parametrize(
    ("port", "value", "said"),
    [
        ("text", 5, "The text must be of type str, not int"),
        ("audio", b"RIFF", "The audio must be of type Audio, not bytes"),
        ("video", "film.mp4", "The video must be of type Video, not str"),
        ("file", Path(), "The file must be of type File, not"),
    ],
)
def test_values_of_another_type(port: str, value: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        encode(port, value)


def test_every_type_has_its_codec() -> None:
    assert set(codecs._CODECS) == set(ARTIFACT_TYPES)

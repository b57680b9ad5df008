"""Pictures as files with their infotext inside, and back."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.PngImagePlugin import PngInfo

from stable_core_sd.picture_files import infotext_of, read_user_comment, texts_in, user_comment, write_picture

TEXT = "a 猫 😀\nNegative prompt: é\nSteps: 1, Seed: 2, CFG scale: 3"
FORMATS = ["png", "jpeg", "webp", "avif", "gif"]


def infotext_in(content: bytes) -> str:
    return texts_in(content)[0]


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize("picture_format", FORMATS)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "I;16"])
def test_every_format_takes_every_mode_and_gives_the_text_back(picture_format: str, mode: str) -> None:
    content, used = write_picture(Image.new(mode, (32, 16)), TEXT, picture_format)
    assert (used, opened(content).format, opened(content).size) == (picture_format, picture_format.upper(), (32, 16))
    assert infotext_in(content) == TEXT


@pytest.mark.parametrize("picture_format", FORMATS)
def test_without_a_text_nothing_is_written(picture_format: str) -> None:
    content, _ = write_picture(Image.new("RGB", (8, 8)), "", picture_format)
    assert infotext_in(content) == ""
    assert b"parameters" not in content


def test_a_picture_too_large_for_its_format_becomes_a_png() -> None:
    content, used = write_picture(Image.new("L", (16_384, 1)), TEXT, "webp")
    assert (used, infotext_in(content)) == ("png", TEXT)


def test_other_texts_of_a_png_are_kept() -> None:
    picture = Image.new("RGB", (8, 8))
    picture.info = {"Author": "somebody", "dpi": (72, 72)}
    infotext, others = infotext_of(opened(write_picture(picture, TEXT)[0]))
    assert (infotext, others) == (TEXT, {"Author": "somebody"})


def test_a_second_text_does_not_replace_the_first() -> None:
    picture = opened(write_picture(Image.new("RGB", (8, 8)), TEXT)[0])
    infotext, others = infotext_of(opened(write_picture(picture, "Postprocess upscale by: 2", key="postprocessing")[0]))
    assert (infotext, others["postprocessing"]) == (TEXT, "Postprocess upscale by: 2")


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        (user_comment("é😀"), "é😀"),
        (b"UNICODE\0" + "left to right".encode("utf-16-le"), "left to right"),
        (b"ASCII\0\0\0plain", "plain"),
        (b"JIS\0\0\0\0\0" + "日本".encode("shift_jis"), "日本"),
        ("no charset: é".encode(), "no charset: é"),
        (b"UNICODE\0\xd8", "UNICODE\0"),
    ],
)
def test_user_comments_of_any_charset_are_read(comment: bytes, expected: str) -> None:
    assert read_user_comment(comment) == expected


def test_a_picture_of_novelai_reads_as_a_picture_of_a1111() -> None:
    texts = PngInfo()
    texts.add_text("Software", "NovelAI")
    texts.add_text("Description", "a castle")
    settings = {"uc": "people", "steps": 28, "sampler": "k_euler_ancestral", "scale": 11.0, "seed": 42}
    texts.add_text("Comment", json.dumps(settings))
    stream = io.BytesIO()
    Image.new("RGB", (64, 32)).save(stream, "png", pnginfo=texts)
    assert infotext_in(stream.getvalue()) == (
        "a castle\nNegative prompt: people\nSteps: 28, Sampler: Euler a, CFG scale: 11.0, Seed: 42, Size: 64x32, "
        "Clip skip: 2, ENSD: 31337"
    )


@pytest.mark.parametrize("comment", ["no json", "[]", "{}"])
def test_a_broken_comment_of_novelai_is_no_error(comment: str) -> None:
    picture = Image.new("RGB", (8, 8))
    picture.info = {"Software": "NovelAI", "Description": "a castle", "Comment": comment}
    assert infotext_of(opened(write_picture(picture, "")[0]))[0] == ""


def test_exif_goes_before_a_text_chunk() -> None:
    exif = Image.Exif()
    exif.get_ifd(IFD.Exif)[Base.UserComment] = user_comment("from exif")
    texts = PngInfo()
    texts.add_text("parameters", "from the chunk")
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "png", pnginfo=texts, exif=exif.tobytes())
    assert infotext_in(stream.getvalue()) == "from exif"


def test_a_short_text_is_infotext_and_other_files_are_refused() -> None:
    assert infotext_in(TEXT.encode()) == TEXT
    with pytest.raises(ValueError, match="neither"):
        infotext_in(b"x" * 10_000)
    with pytest.raises(ValueError, match="utf-8"):
        infotext_in(b"\xff\xfe\x00")

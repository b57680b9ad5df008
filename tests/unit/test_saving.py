"""The outputs folder: readable names, generation data inside, nothing overwritten, nothing secret."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from stable_core.config import Config
from stable_core.errors import InvalidInput
from stable_core.saving import save_output, with_png_text

PROVENANCE: dict[str, Any] = {
    "id": "0123",
    "job": "sd.txt2img",
    "inputs": {"prompt": "A Red Circle, (blue:1.2) — on ümläut/../paper"},
    "params": {"seed": 7, "steps": 20},
    "plugin_version": "1+abc",
    "created": 1.5,
}
PARAMETERS = "a red circle — ünïcode\nSteps: 20, Seed: 7"
USER_COMMENT = 0x9286
MAKER_NOTE = 0x927C


def image(folder: Path, mode: str = "RGB", size: tuple[int, int] = (6, 4), color: Any = None) -> Path:
    path = folder / "content"
    PIL.Image.new(mode, size, color or 0).save(path, "PNG")
    return path


def save(home: Path, content: Path, artifact: dict[str, Any] | None = None, **settings: Any) -> Path:
    config = Config(home)
    config.update(settings)
    provenance = {**PROVENANCE, **(artifact or {}).pop("provenance", {})} if artifact else PROVENANCE
    made = {"type": "image", "media_type": "image/png", "parameters": PARAMETERS, **(artifact or {})}
    return save_output(content, made, provenance, config)


def test_a_name_says_what_and_when(home: Path, tmp_path: Path) -> None:
    path = save(home, image(tmp_path))
    assert path.parent.parent == home / "outputs"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", path.parent.name)
    assert re.fullmatch(r"\d{6}-sd\.txt2img-a-red-circle-blue-1-2-on-[a-z0-9-]+-7-01\.png", path.name)
    assert path.name.isascii()


def test_nothing_is_overwritten(home: Path, tmp_path: Path) -> None:
    content = image(tmp_path)
    paths = [save(home, content) for _ in range(12)]
    assert len(set(paths)) == 12
    assert all(path.is_file() for path in paths)


@pytest.mark.parametrize("seed", ["../../../etc/x", "a/b", "\0", ["x"], {"each": [1]}, -1, None, "9" * 500])
def test_no_param_leads_out_of_the_folder(home: Path, tmp_path: Path, seed: Any) -> None:
    provenance = {"params": {"seed": seed}, "inputs": {"text": "../../.." * 50}}
    path = save(home, image(tmp_path), {"provenance": provenance})
    assert path.resolve().parent.parent == home / "outputs"
    assert len(path.name) < 120


def test_the_folder_is_a_setting(home: Path, tmp_path: Path) -> None:
    path = save(home, image(tmp_path), outputs_folder=str(tmp_path / "elsewhere"))
    assert path.parent.parent == tmp_path / "elsewhere"


# -- PNG ---------------------------------------------------------------------------------------------------------------


def test_pillow_reads_the_data_of_a_png(home: Path, tmp_path: Path) -> None:
    content = image(tmp_path, color=(1, 2, 3))
    with PIL.Image.open(save(home, content)) as saved, PIL.Image.open(content) as original:
        saved.load()
        assert saved.text["parameters"] == PARAMETERS  # type: ignore[attr-defined]
        assert json.loads(saved.text["stable-core"]) == PROVENANCE  # type: ignore[attr-defined]
        assert saved.tobytes() == original.tobytes()


def test_plain_text_is_readable_by_the_oldest_reader(tmp_path: Path) -> None:
    png = with_png_text(image(tmp_path).read_bytes(), {"parameters": "plain", "more": "日本"})
    assert b"tEXtparameters\0plain" in png
    assert b"iTXtmore" in png
    (tmp_path / "out.png").write_bytes(png)
    with PIL.Image.open(tmp_path / "out.png") as saved:
        saved.verify()


def test_nothing_is_embedded_when_nobody_wants_it(home: Path, tmp_path: Path) -> None:
    content = image(tmp_path)
    assert save(home, content, embed_parameters=False).read_bytes() == content.read_bytes()
    sound = save(home, content, {"type": "audio", "media_type": "audio/wav"}, embed_parameters=False)
    assert [path.name for path in sound.parent.glob("*.json")] == []


def test_a_picture_without_parameters(home: Path, tmp_path: Path) -> None:
    with PIL.Image.open(save(home, image(tmp_path), {"parameters": ""})) as saved:
        saved.load()
        assert list(saved.text) == ["stable-core"]  # type: ignore[attr-defined]


# -- JPEG and WebP -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image_format", ["jpeg", "webp"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "LA", "1", "I;16"])
def test_pillow_reads_the_data_of_jpeg_and_webp(home: Path, tmp_path: Path, image_format: str, mode: str) -> None:
    path = save(home, image(tmp_path, mode), image_format=image_format)
    assert path.suffix == {"jpeg": ".jpg", "webp": ".webp"}[image_format]
    with PIL.Image.open(path) as saved:
        saved.load()
        assert (saved.format, saved.size) == (image_format.upper(), (6, 4))
        exif = saved.getexif().get_ifd(0x8769)
    assert exif[USER_COMMENT][:8] == b"UNICODE\0"
    assert exif[USER_COMMENT][8:].decode("utf-16-be") == PARAMETERS
    assert json.loads(exif[MAKER_NOTE]) == PROVENANCE
    assert list(path.parent.glob("*.json")) == []


@pytest.mark.parametrize("image_format", ["jpeg", "webp", "png"])
def test_a_very_long_prompt_is_kept(home: Path, tmp_path: Path, image_format: str) -> None:
    provenance = {"inputs": {"prompt": "日本 " * 30_000}}
    path = save(home, image(tmp_path), {"provenance": provenance}, image_format=image_format)
    with PIL.Image.open(path) as saved:
        saved.load()
    beside = path.with_name(path.name + ".json")
    assert beside.is_file() == (image_format == "jpeg")
    if beside.is_file():
        assert json.loads(beside.read_text("utf-8"))["inputs"] == provenance["inputs"]


@pytest.mark.parametrize(
    ("image_format", "width", "suffix"), [("webp", 16_384, ".png"), ("webp", 16_383, ".webp"), ("jpeg", 65_501, ".png")]
)
def test_a_picture_too_large_for_its_format_is_a_png(
    home: Path, tmp_path: Path, image_format: str, width: int, suffix: str
) -> None:
    content = image(tmp_path, "L", (width, 1))
    path = save(home, content, {"width": width, "height": 1}, image_format=image_format)
    assert path.suffix == suffix
    with PIL.Image.open(path) as saved:
        assert saved.size == (width, 1)


def test_a_mask_stays_a_png(home: Path, tmp_path: Path) -> None:
    assert save(home, image(tmp_path, "L"), {"type": "mask"}, image_format="jpeg").suffix == ".png"


# -- everything else ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "media_type", "suffix"),
    [
        ("text", "text/plain", ".txt"),
        ("data", "application/json", ".json"),
        ("audio", "audio/flac", ".flac"),
        ("video", "video/mp4", ".mp4"),
        ("image", "image/gif", ".gif"),
        ("file", "application/x-unknown", ".bin"),
    ],
)
def test_other_results_have_their_data_beside_them(
    home: Path, tmp_path: Path, kind: str, media_type: str, suffix: str
) -> None:
    content = tmp_path / "content"
    content.write_bytes(b"anything")
    path = save(home, content, {"type": kind, "media_type": media_type})
    assert path.suffix == suffix
    assert path.read_bytes() == b"anything"
    assert json.loads(path.with_name(path.name + ".json").read_text("utf-8")) == PROVENANCE


@pytest.mark.parametrize("image_format", ["png", "jpeg"])
def test_what_cannot_be_saved_leaves_nothing(home: Path, tmp_path: Path, image_format: str) -> None:
    with pytest.raises((OSError, InvalidInput)):
        save(home, tmp_path / "not there", image_format=image_format)
    assert [path for path in (home / "outputs").rglob("*") if path.is_file()] == []

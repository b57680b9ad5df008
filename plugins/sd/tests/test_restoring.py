"""Runs restored from pictures: ours, A1111's of several years, and texts that are neither."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from stable_core.sdk import File, InvalidInput, Progress
from stable_core_sd.checkpoint_list import find_checkpoint
from stable_core_sd.description import PictureFacts, describe_picture
from stable_core_sd.hashes import sha256_of
from stable_core_sd.params import Img2ImgParams, RunParams, Txt2ImgParams
from stable_core_sd.params_scripts import ReadParams
from stable_core_sd.picture_files import write_picture
from stable_core_sd.prompt.styles import Style
from stable_core_sd.restoring import restore_run, with_models_here
from stable_core_sd.scripts import read_parameters

OF_2022 = (
    "a cat\nNegative prompt: bad\nSteps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 1, Size: 1024x768, "
    "Model hash: 45dee52b, Denoising strength: 0.7, First pass size: 0x0"
)
OF_TODAY = (
    "a (cat:1.2)\nSteps: 8, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7.0, Seed: 3, Size: 512x512, "
    "Model hash: 6ce0161689, Model: v1-5, Variation seed: 4, Variation seed strength: 0.1, Denoising strength: 0.5, "
    "Clip skip: 2, Hires upscale: 2, Hires steps: 5, Hires upscaler: Latent, Emphasis: No norm, Version: v1.10.1"
)


def read(content: bytes, folder: Path) -> Any:
    path = folder / "picture"
    path.write_bytes(content)
    return read_parameters(File(path), ReadParams(), Progress()).value


def test_clients_find_what_reads_a_picture_by_what_it_says_of_itself() -> None:
    assert read_parameters.signature.to_dict()["params"]["x-restores"] is True


def test_a_picture_of_2022() -> None:
    run = restore_run(OF_2022)
    assert (run["job"], run["inputs"]) == ("sd.txt2img", {"prompt": "a cat"})
    params = Txt2ImgParams(**run["params"])
    assert (params.sampler, params.scheduler, params.negative_prompt) == ("DPM++ 2M", "Karras", "bad")
    assert (params.width, params.height, params.noise.source) == (640, 448, "GPU")
    assert (params.hires.enabled, params.hires.width, params.hires.height) == (True, 1024, 768)
    assert params.hires.denoising_strength == 0.7


def test_a_picture_of_today() -> None:
    params = Txt2ImgParams(**restore_run(OF_TODAY)["params"])
    assert (params.text.clip_skip, params.text.emphasis, params.variation.strength) == (2, "No norm", 0.1)
    assert (params.hires.scale, params.hires.steps, params.hires.upscaler, params.hires.width) == (2, 5, "Latent", 0)


def test_a_picture_made_from_a_picture() -> None:
    run = restore_run(
        "p\nSteps: 8, Sampler: Euler, Seed: 3, Denoising strength: 0.3, Mask blur: 6, Mask mode: Inpaint not masked"
    )
    params = Img2ImgParams(**run["params"])
    assert run["job"] == "sd.img2img"
    assert (params.denoising_strength, params.inpaint.mask_blur_x, params.inpaint.mask_blur_y) == (0.3, 6, 6)
    assert params.inpaint.invert
    assert run["notes"] == ["It was made from a picture, which is not inside it"]


def test_what_cannot_be_taken_over_is_noted() -> None:
    run = restore_run("p\nSteps: many, Sampler: Magic, CFG scale: 700, Seed: 3, Size: 500x512")
    assert run["params"].items() >= {"seed": 3, "height": 512, "noise": {"source": "GPU"}}.items()
    assert not {"steps", "cfg_scale", "width"} & run["params"].keys()
    assert len(run["notes"]) == 4


KNOBS: list[tuple[type[RunParams], dict[str, Any]]] = [
    (Txt2ImgParams, {"steps": 5, "cfg_scale": 3.5, "tiling": True, "text": {"clip_skip": 3}}),
    (Txt2ImgParams, {"sampler": "Euler a", "noise": {"eta": 0.5, "seed_delta": 31337, "source": "GPU"}}),
    (Txt2ImgParams, {"sampler": "Euler", "noise": {"s_churn": 2.0, "s_tmin": 0.1, "s_tmax": 9.0, "s_noise": 1.01}}),
    (Txt2ImgParams, {"sampler": "DDIM", "noise": {"eta": 1.0}, "guidance": {"skip_early": 0.1, "pad_texts": True}}),
    (Txt2ImgParams, {"scheduler": "Karras", "schedule": {"sigma_min": 0.1, "sigma_max": 10.0, "rho": 5.0}}),
    (Txt2ImgParams, {"schedule": {"sgm_noise": True, "discard_next_to_last": True}}),
    (Txt2ImgParams, {"sampler": "UniPC", "unipc": {"variant": "bh2", "order": 2, "lower_order_final": False}}),
    (Txt2ImgParams, {"scheduler": "Beta", "schedule": {"beta_alpha": 0.7, "beta_beta": 0.8}}),
    (Txt2ImgParams, {"variation": {"seed": 9, "strength": 0.2, "resize_from_width": 64, "resize_from_height": 128}}),
    (Txt2ImgParams, {"hires": {"enabled": True, "scale": 1.5, "denoising_strength": 0.4, "prompt": "more, and: so"}}),
    (Txt2ImgParams, {"hires": {"enabled": True, "width": 640, "height": 0, "sampler": "Euler", "steps": 7}}),
    (Txt2ImgParams, {"hires": {"enabled": True, "denoising_strength": 0.3, "extra_noise": 0.1}}),
    (Img2ImgParams, {"denoising_strength": 0.4, "noise_multiplier": 0.9, "extra_noise": 0.05}),
    (Img2ImgParams, {"inpaint": {"mask_blur_x": 2, "mask_blur_y": 3, "area": "Only masked", "padding": 8}}),
    (Img2ImgParams, {"inpaint": {"invert": True, "fill": "latent noise", "mask_weight": 0.5}, "image_cfg_scale": 1.5}),
]


@pytest.mark.parametrize(("kind", "knobs"), KNOBS, ids=[f"{kind.__name__}-{'-'.join(knobs)}" for kind, knobs in KNOBS])
def test_what_is_described_is_restored(kind: type[RunParams], knobs: dict[str, Any]) -> None:
    params = kind(**{"seed": 5, "width": 64, "height": 128, **knobs})
    facts = PictureFacts(
        prompt="a (cat:1.1)",
        negative_prompt="",
        seed=5,
        size=(64, 128),
        model="nano",
        has_mask=True,
        has_region=True,
        task="inpainting",
        variation_seed=9,
    )
    run = restore_run(describe_picture(params, facts))
    restored = kind(**run["params"])
    expected = params.model_dump()
    if not params.variation.strength:
        expected["variation"]["seed"] = restored.variation.seed
    assert restored.model_dump() == expected
    assert run["inputs"]["prompt"] == "a (cat:1.1)"


@pytest.mark.parametrize("picture_format", ["png", "jpeg", "webp", "avif", "gif"])
def test_files_of_every_format_are_read(picture_format: Any, tmp_path: Path) -> None:
    run = read(write_picture(Image.new("RGB", (8, 8)), OF_TODAY, picture_format)[0], tmp_path)
    assert (run["params"]["seed"], run["infotext"]) == (3, OF_TODAY)
    assert "The checkpoint v1-5 is not here" in run["notes"]
    assert "checkpoint" not in run["params"]


def test_models_are_named_as_they_are_called_here(tiny_models: Path, tmp_path: Path) -> None:
    digits = sha256_of(find_checkpoint("tiny_file").path)[:10]
    line = "p\nSteps: 1, Seed: 2, CFG scale: 3, Model: other"
    found = with_models_here(restore_run(f"{line}, Model hash: {digits}, VAE: none.pt"))
    assert found["params"]["checkpoint"] == "tiny_file"
    assert found["notes"] == ["The VAE none.pt is not here"]
    told = {"job": "sd.txt2img", "inputs": {}, "params": {"checkpoint": "tiny", "vae": "Automatic"}}
    assert with_models_here(restore_run("", json.dumps(told)))["params"] == told["params"]


def test_our_own_data_goes_before_the_infotext(tmp_path: Path) -> None:
    told = {"job": "sd.txt2img", "inputs": {"prompt": "exact"}, "params": {"seed": 8}, "id": "x"}
    picture = Image.new("RGB", (8, 8))
    picture.info["stable-core"] = json.dumps(told)
    run = read(write_picture(picture, OF_TODAY)[0], tmp_path)
    assert (run["job"], run["inputs"], run["params"]) == ("sd.txt2img", {"prompt": "exact"}, {"seed": 8})


def test_a_cell_of_a_plot_is_the_run_it_is() -> None:
    params = {"seed": 3, "hires": {"scale": 2}, "denoising_strength": 0.5}
    told = {"job": "sd.cell", "inputs": {"prompt": "p"}, "params": params}
    run = restore_run("", json.dumps(told))
    assert (run["job"], run["params"]) == ("sd.txt2img", {"seed": 3, "hires": {"scale": 2}})
    run = restore_run("", json.dumps({**told, "inputs": {"prompt": "p", "image": {"artifact": "1"}}}))
    assert (run["job"], run["params"]) == ("sd.img2img", {"seed": 3, "denoising_strength": 0.5})
    assert run["notes"]
    assert restore_run("", json.dumps({**told, "inputs": {"prompt": "p", "image": {"job": "1"}}}))["notes"]


@pytest.mark.parametrize("own", ["no json", "[]", '{"job": "other.job", "inputs": {}, "params": {}}', '{"job": 1}'])
def test_data_of_ours_that_is_none_is_passed_over(own: str) -> None:
    assert restore_run(OF_TODAY, own)["params"]["seed"] == 3


def test_styles_are_found_in_prompts() -> None:
    styles = [Style("drawn", "a drawing of {prompt}", "photo"), Style("other", "unused")]
    run = restore_run("a drawing of a cat\nNegative prompt: bad, photo\nSteps: 1, Seed: 2, CFG scale: 3", "", styles)
    assert run["inputs"] == {"prompt": "a cat"}
    assert (run["params"]["negative_prompt"], run["params"]["styles"]) == ("bad", ["drawn"])


def test_a_text_file_is_read_and_other_files_are_refused(tmp_path: Path) -> None:
    assert read(OF_TODAY.encode(), tmp_path)["params"]["seed"] == 3
    with pytest.raises(InvalidInput):
        read(b"\x89PNG\r\n\x1a\n broken", tmp_path)
    with pytest.raises(InvalidInput):
        read(bytes(20_000), tmp_path)


def test_a_picture_without_data_gives_an_empty_request(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "png", pnginfo=PngInfo())
    run = read(stream.getvalue(), tmp_path)
    assert (run["inputs"], run["infotext"], run["notes"]) == ({"prompt": ""}, "", ["There is no generation data in it"])

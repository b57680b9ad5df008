"""Inpainting and instruct-pix2pix models: what they see beside the latents, and guidance by a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
from runs import box_mask, change, difference, draw, noisy, pixels
from stable_core_sd.beside import beside_picture, beside_text
from stable_core_sd.checkpoint_store import get_checkpoint
from stable_core_sd.images.source import prepare_source
from stable_core_sd.params import Img2ImgParams, InpaintParams
from stable_core_sd.ports import Picture

MASK = box_mask((64, 64), (16, 16, 48, 48))
EXTRA = {"painter": 5, "editor": 4}


@pytest.fixture
def models(tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Add an inpainting model, `painter`, and an instruct-pix2pix model, `editor`."""
    for name, extra in EXTRA.items():
        with monkeypatch.context() as patched:
            patched.setitem(tiny.UNET, "in_channels", 4 + extra)
            tiny.write_folder(tiny_models / "checkpoints" / name, tiny.make_models(seed=5))
    return tiny_models / "checkpoints"


def seen(folder: Path, mask: Image.Image | None, **knobs: Any) -> torch.Tensor:
    checkpoint = get_checkpoint(folder)
    params = Img2ImgParams(inpaint={"mask_blur_x": 0, "mask_blur_y": 0, **knobs})
    source = prepare_source(Picture(noisy(), "", mask), params, (64, 64))
    with torch.inference_mode():
        found = beside_picture(checkpoint, source, params.inpaint, torch.zeros(1, 4, 8, 8))
    assert found is not None
    return found


@torch.inference_mode()
def test_an_inpainting_model_sees_the_mask_and_the_rest_of_the_picture(models: Path) -> None:
    checkpoint = get_checkpoint(models / "painter")
    found = seen(models / "painter", MASK)
    assert found.shape == (1, 5, 8, 8)
    assert (found[0, 0].numpy() == np.asarray(MASK.resize((8, 8), Image.Resampling.NEAREST)) / 255).all()
    hidden = torch.from_numpy(np.asarray(noisy(), dtype=np.float32) / 127.5 - 1).movedim(-1, 0)[None]
    hidden[..., 16:48, 16:48] = 0
    assert torch.allclose(found[:, 1:], checkpoint.encode(hidden), atol=1e-5)
    nothing = beside_text(checkpoint, (64, 64))
    assert nothing is not None
    assert torch.allclose(nothing, seen(models / "painter", None), atol=0.01)  # its norms amplify what is all grey
    assert (nothing[:, 0] == 1).all()


def test_the_weight_of_the_mask_lets_the_model_see_more(models: Path) -> None:
    strict, none = seen(models / "painter", MASK), seen(models / "painter", MASK, mask_weight=0)
    assert not torch.equal(strict, none)
    assert torch.equal(strict[:, 0], none[:, 0])
    assert torch.allclose(none[:, 1:], get_checkpoint(models / "painter").encode(_whole()), atol=1e-5)


def _whole() -> torch.Tensor:
    return torch.from_numpy(np.asarray(noisy(), dtype=np.float32) / 127.5 - 1).movedim(-1, 0)[None]


@pytest.mark.parametrize("name", EXTRA)
@pytest.mark.parametrize("sampler", ["Euler", "DDIM"])
def test_such_models_draw_from_text_and_from_pictures_with_and_without_a_mask(
    models: Path, name: str, sampler: str
) -> None:
    knobs = {"checkpoint": name, "sampler": sampler}
    assert draw(**knobs)[0].size == (64, 64)
    assert draw(**knobs, hires={"enabled": True})[0].size == (128, 128)
    batch = change(noisy(), **knobs, batch_size=2)
    assert difference(batch[1], change(noisy(), **knobs, seed=8)[0]) <= 1
    made = change(noisy(), mask=MASK, **knobs)[0]
    changed = np.abs(pixels(made) - pixels(noisy())).max(axis=-1)
    assert changed[:5].max() == 0
    assert changed[20:44, 20:44].mean() > 5
    assert ("Conditional mask weight: 1.0" in made.info["parameters"]) == (name == "painter")


def test_the_picture_guides_an_editing_model(models: Path) -> None:
    made = [change(noisy(), checkpoint="editor", image_cfg_scale=scale)[0] for scale in (1.0, 1.5, 3.0)]
    assert difference(made[0], made[1]) > 0
    assert difference(made[1], made[2]) > 0
    assert "Image CFG scale: 3.0" in made[2].info["parameters"]
    plain = [change(noisy(), image_cfg_scale=scale)[0] for scale in (1.0, 3.0)]
    assert difference(*plain) == 0


@torch.inference_mode()
def test_guidance_by_a_picture_is_the_one_of_the_paper() -> None:
    from stable_core_sd.beside import PictureGuidedDenoiser

    guesses = {"prompt": 5.0, "picture": 3.0, "nothing": 2.0}

    class Stub(PictureGuidedDenoiser):
        def __init__(self) -> None:
            self.beside, self.calls, self.picture_scale = torch.ones(1, 4, 2, 2), 0, 1.5
            self.conditioning = type("Texts", (), {"at": lambda _, call: type("Call", (), {"negative": None})()})()

        def outputs(self, x: Any, sigma: float, needs_negative: bool) -> Any:
            return guesses["prompt"], guesses["picture"]

        def guide(self, prompted: Any, negative: Any) -> Any:
            return negative + 7 * (prompted - negative)

        def ask(self, seen: torch.Tensor, told: Any, sigma: float) -> Any:
            assert (seen[:, 4:] == 0).all()
            return guesses["nothing"]

        def see(self, x: torch.Tensor, sigma: float, beside: Any) -> torch.Tensor:
            return torch.cat([x, beside], 1)

        def clean(self, x: torch.Tensor, sigma: float, output: Any) -> Any:
            return output

    expected = guesses["nothing"] + 1.5 * (guesses["picture"] - guesses["nothing"]) + 7 * (5.0 - 3.0)
    assert Stub()(torch.zeros(1, 4, 2, 2), 1.0) == expected


def test_ordinary_models_see_nothing_beside(models_folder: Path, tiny_models: Path) -> None:
    checkpoint = get_checkpoint(models_folder / "checkpoints" / "tiny")
    source = prepare_source(Picture(noisy(), ""), Img2ImgParams(), (64, 64))
    assert beside_text(checkpoint, (64, 64)) is None
    assert beside_picture(checkpoint, source, InpaintParams(), torch.zeros(1, 4, 8, 8)) is None

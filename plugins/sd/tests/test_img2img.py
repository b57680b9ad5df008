"""The img2img job from end to end on a tiny model with random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from runs import Recorded, box_mask, change, difference, noisy, pixels
from stable_core.sdk import JobCancelled
from stable_core_sd.names import SAMPLERS
from stable_core_sd.params import Img2ImgParams

pytestmark = pytest.mark.usefixtures("tiny_models")

MASK = box_mask((64, 64), (16, 16, 48, 48))


@pytest.mark.parametrize("sampler", [one.label for one in SAMPLERS])
def test_every_sampler_changes_a_picture_and_a_batch_equals_single_runs(sampler: str) -> None:
    picture = noisy()
    batch = change(picture, sampler=sampler, batch_size=2, denoising_strength=0.6)
    singles = [change(picture, sampler=sampler, seed=7 + index, denoising_strength=0.6)[0] for index in range(2)]
    assert all(difference(*pair) <= 1 for pair in zip(batch, singles, strict=True))
    assert difference(batch[0], batch[1]) > 5
    assert difference(batch[0], picture) > 5


@pytest.mark.parametrize("sampler", ["DPM++ 2M", "DDIM"])
@pytest.mark.parametrize("fill", ["fill", "original", "latent noise", "latent nothing"])
@pytest.mark.parametrize("area", ["Whole picture", "Only masked"])
def test_outside_of_the_mask_every_bit_stays(sampler: str, fill: str, area: str) -> None:
    picture = noisy()
    knobs = {"fill": fill, "area": area, "padding": 8, "mask_blur_x": 2, "mask_blur_y": 2}
    batch = change(picture, mask=MASK, sampler=sampler, inpaint=knobs, batch_size=2, batch_count=2)
    outside = np.asarray(box_mask((64, 64), (11, 11, 53, 53))) == 0  # a blur of 2 reaches 5 pixels
    for made in batch:
        assert (pixels(made)[outside] == pixels(picture)[outside]).all()
        assert np.abs(pixels(made) - pixels(picture))[20:44, 20:44].mean() > 5
    assert difference(batch[2], change(picture, mask=MASK, sampler=sampler, inpaint=knobs, seed=9)[0]) <= 1


def test_an_inverted_mask_changes_the_outside() -> None:
    picture = noisy()
    made = change(picture, mask=MASK, inpaint={"invert": True, "mask_blur_x": 0, "mask_blur_y": 0})[0]
    changed = np.abs(pixels(made) - pixels(picture)).max(axis=-1)
    assert changed[16:48, 16:48].max() == 0
    assert changed[:16].mean() > 5


def test_without_overlay_the_whole_picture_comes_from_the_model() -> None:
    made = change(noisy(), mask=MASK, inpaint={"overlay": False})[0]
    assert (np.abs(pixels(made) - pixels(noisy())).max(axis=-1)[:8] > 0).mean() > 0.9


def test_only_masked_puts_the_part_back_at_its_place_in_a_larger_picture() -> None:
    picture, mask = noisy(200, 120), box_mask((200, 120), (150, 20, 190, 60))
    knobs = {"area": "Only masked", "padding": 4}
    made = change(picture, mask=mask, inpaint=knobs)[0]
    assert made.size == (200, 120)
    changed = np.abs(pixels(made) - pixels(picture)).max(axis=-1)
    assert changed[:, :138].max() == 0
    assert changed[30:50, 160:180].mean() > 5
    assert "Inpaint area: Only masked, Masked area padding: 4" in made.info["parameters"]
    bare = change(picture, mask=mask, inpaint={**knobs, "overlay": False})[0]
    assert np.abs(pixels(bare) - pixels(picture)).max(axis=-1)[:, :132].max() == 0


def test_a_blank_mask_changes_everything_with_only_masked_and_nothing_else() -> None:
    blank = Image.new("L", (64, 64))
    assert difference(change(noisy(), mask=blank, inpaint={"area": "Only masked"})[0], change(noisy())[0]) == 0
    assert difference(change(noisy(), mask=blank)[0], noisy()) == 0


@pytest.mark.parametrize("area", ["Whole picture", "Only masked"])
@pytest.mark.parametrize("place", [(0, 0), (40, 30), (63, 63)])
def test_a_mask_of_one_pixel_works(area: str, place: tuple[int, int]) -> None:
    mask = Image.new("L", (64, 64))
    mask.putpixel(place, 255)
    for blur in (0, 4):
        knobs = {"area": area, "padding": 0, "mask_blur_x": blur, "mask_blur_y": blur}
        made = change(noisy(), mask=mask, inpaint=knobs)[0]
        assert (np.abs(pixels(made) - pixels(noisy())).max(axis=-1) > 0).sum() <= 21 * 21


def test_a_latent_mask_of_its_own_says_what_changes_and_the_mask_what_is_seen() -> None:
    seen, drawn = box_mask((64, 64), (0, 0, 32, 64)), box_mask((64, 64), (0, 0, 16, 64))
    no_blur = {"mask_blur_x": 0, "mask_blur_y": 0}
    made = change(noisy(), mask=seen, latent_mask=drawn, inpaint=no_blur)[0]
    same = change(noisy(), mask=seen, inpaint=no_blur)[0]
    assert difference(made, same) > 5
    assert difference(made.crop((32, 0, 64, 64)), noisy().crop((32, 0, 64, 64))) == 0


@pytest.mark.parametrize("mode", ["Just resize", "Crop and resize", "Resize and fill", "Just resize (latent upscale)"])
@pytest.mark.parametrize("size", [(100, 37), (9, 200)])
def test_every_resize_mode_reaches_the_size_with_and_without_a_mask(mode: str, size: tuple[int, int]) -> None:
    for mask in (None, box_mask(size, (2, 2, 8, 30))):
        made = change(noisy(*size), mask=mask, resize_mode=mode, width=72, height=48, inpaint={"fill": "fill"})[0]
        assert made.size == (72, 48)
        assert f"Size: {72}x{48}" in made.info["parameters"]


@pytest.mark.parametrize(("size", "expected"), [((64, 40), (64, 40)), ((61, 47), (56, 40)), ((3, 5), (8, 8))])
def test_without_a_size_the_picture_keeps_its_own(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert change(noisy(*size))[0].size == expected


def test_an_upscaler_of_ones_choice_enlarges() -> None:
    lanczos, nearest = (change(noisy(40, 40), width=64, height=64, upscaler=name)[0] for name in ("Lanczos", "Nearest"))
    assert difference(lanczos, nearest) > 0


@pytest.mark.parametrize("kind", ["RGBA", "L", "CMYK", "P", "LA", "1", "I;16", "I"])
def test_pictures_of_every_mode_are_taken(kind: str) -> None:
    picture = noisy(mode="L") if kind in ("L", "I;16", "I") else noisy()
    if kind in ("I;16", "I"):
        sixteen = Image.fromarray(np.asarray(noisy(mode="L"), dtype=np.uint16) * 256 + 128)
        assert difference(change(sixteen.convert("I") if kind == "I" else sixteen)[0], change(picture)[0]) == 0
    else:
        assert change(picture.convert(kind))[0].size == (64, 64)


def test_transparent_parts_get_the_background() -> None:
    clear = Image.new("RGBA", (64, 64), (10, 20, 30, 0))
    assert difference(change(clear)[0], change(Image.new("RGB", (64, 64), "white"))[0]) == 0
    blue = change(clear, background="#0000ff")[0]
    with pytest.raises(ValidationError, match="background"):
        Img2ImgParams(background="clear")
    assert difference(blue, change(Image.new("RGB", (64, 64), "blue"))[0]) == 0


def test_strength_0_does_one_step_and_nothing_with_exact_steps() -> None:
    progress = Recorded()
    change(noisy(), denoising_strength=0, steps=10, progress=progress, sampler="Euler")
    assert progress.steps[-1] == (1, 1)
    exact = change(noisy(), denoising_strength=0, exact_steps=True)[0]
    assert difference(exact, change(noisy(), denoising_strength=0, exact_steps=True, seed=8)[0]) == 0


@pytest.mark.parametrize(
    ("knobs", "total"),
    [({}, 8), ({"denoising_strength": 0.5}, 6), ({"denoising_strength": 1}, 10), ({"exact_steps": True}, 10)],
)
def test_progress_counts_the_steps_that_are_done(knobs: dict[str, Any], total: int) -> None:
    progress = Recorded()
    change(noisy(), steps=10, progress=progress, batch_count=2, **knobs)
    done = [step for step, _ in progress.steps]
    assert done == sorted(done)
    assert progress.steps[-1] == (2 * total, 2 * total)
    assert len(progress.previews) == 2 * total


@pytest.mark.parametrize(
    "knob",
    [
        {"denoising_strength": 0.4},
        {"noise_multiplier": 0.8},
        {"extra_noise": 0.2},
        {"exact_steps": True},
        {"color_correction": True},
        {"tiling": True},
        {"seed": 8},
        {"sampler": "DDIM", "extra_noise": 0.2},
    ],
)
def test_every_knob_changes_the_picture(knob: dict[str, Any]) -> None:
    plain = {"sampler": "DDIM"} if "sampler" in knob else {}
    assert difference(change(noisy(), **plain)[0], change(noisy(), **knob)[0]) > 0


@pytest.mark.parametrize(
    "knob",
    [
        {"mask_blur_x": 0},
        {"mask_blur_y": 9},
        {"invert": True},
        {"fill": "fill"},
        {"fill": "latent noise"},
        {"fill": "latent nothing"},
        {"area": "Only masked"},
        {"area": "Only masked", "padding": 2},
        {"overlay": False},
        {"round_mask": False},
    ],
)
def test_every_knob_of_the_mask_changes_the_picture(knob: dict[str, Any]) -> None:
    mask = box_mask((64, 64), (13, 18, 45, 47))
    assert difference(change(noisy(), mask=mask)[0], change(noisy(), mask=mask, inpaint=knob)[0]) > 0


def test_generation_data_tells_what_was_done() -> None:
    knobs = {"invert": True, "fill": "latent noise", "mask_blur_x": 3, "mask_blur_y": 3}
    told = change(noisy(), mask=MASK, inpaint=knobs, denoising_strength=0.5)[0].info["parameters"]
    assert "Denoising strength: 0.5" in told
    assert "Mask mode: Inpaint not masked, Mask blur: 3, Masked content: latent noise" in told
    assert "parameters" not in change(noisy(), save_parameters=False)[0].info


@pytest.mark.parametrize("step", [0, 1, 2])
def test_cancel_takes_effect_within_one_step(step: int) -> None:
    progress = Recorded(cancel_after=step)
    with pytest.raises(JobCancelled):
        change(noisy(), progress=progress)
    assert progress.steps[-1][0] == step


def test_every_knob_has_a_short_help() -> None:
    schema = Img2ImgParams.model_json_schema()
    knobs = [knob for part in (schema, *schema["$defs"].values()) for knob in part.get("properties", {}).values()]
    assert all(len(knob["description"]) < 140 for knob in knobs if "$ref" not in knob)


def test_the_mask_and_what_was_drawn_alone_are_returned_on_demand() -> None:
    knobs = {"return_mask": True, "return_composite": True, "area": "Only masked", "padding": 4}
    made, mask, alone, *_ = change(
        noisy(90, 70), mask=box_mask((90, 70), (16, 16, 48, 48)), batch_size=2, inpaint=knobs
    )
    assert (made.size, mask.size, alone.size, alone.mode) == ((90, 70), (90, 70), (90, 70), "RGBA")
    assert (pixels(mask)[28:36, 28:36] > 250).all()
    shown = np.asarray(alone)
    assert (shown[60:, 60:, 3] == 0).all()
    assert np.abs(shown[28:36, 28:36, :3].astype(int) - pixels(made)[28:36, 28:36]).max() <= 3
    assert mask.info["parameters"] == made.info["parameters"]


def test_a_note_says_that_a_mask_was_blank() -> None:
    [made] = change(noisy(), mask=Image.new("L", (64, 64)), inpaint={"area": "Only masked"})
    assert made.info["notes"] == ["The mask is blank, so the whole picture was changed."]
    assert "notes" not in change(noisy(), mask=MASK)[0].info


def test_colour_correction_may_take_the_colours_of_another_picture() -> None:
    own = change(noisy(), color_correction=True)[0]
    red = change(noisy(), color_correction=True, colours=Image.new("RGB", (30, 20), "red"))[0]
    assert (pixels(red)[..., 0] >= pixels(red)[..., 1]).all()
    assert difference(red, own) > 0

"""Outpainting: sizes, masks and noise; what it draws is in test_scripts_on_nano."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from stable_core.sdk import InvalidParams
from stable_core_sd.images.outpaint_noise import fill_with_noise
from stable_core_sd.invocations.canvases import extend_canvas
from stable_core_sd.invocations.outpainting import margins, new_area, plan_outpainting
from stable_core_sd.invocations.poor_outpainting import plan_poor_outpainting
from stable_core_sd.params_scripts import ContinueParams, OutpaintParams, PoorOutpaintParams


def white_box(mask: Image.Image) -> tuple[int, int, int, int] | None:
    return mask.point(lambda value: 255 - value).getbbox()


@pytest.mark.parametrize(
    ("size", "sides", "expected"),
    [
        ((128, 128), {"left": True, "right": True}, {"left": 64, "right": 64, "up": 0, "down": 0}),
        ((128, 100), {"up": True}, {"left": 0, "right": 0, "up": 92, "down": 0}),
        ((100, 100), {"left": True, "down": True}, {"left": 92, "right": 0, "up": 0, "down": 92}),
        ((130, 64), {"left": True, "right": True}, {"left": 95, "right": 95, "up": 0, "down": 0}),
    ],
)
def test_sides_grow_to_multiples_of_64(size: Any, sides: dict[str, bool], expected: dict[str, int]) -> None:
    none = dict.fromkeys(("left", "right", "up", "down"), False)
    grown = margins(size, OutpaintParams(pixels=64, **{**none, **sides}))
    assert grown == expected
    assert (size[0] + grown["left"] + grown["right"]) % 64 == 0 or not grown["left"] + grown["right"]


def test_a_side_must_be_chosen() -> None:
    with pytest.raises(InvalidParams, match="No side"):
        margins((64, 64), OutpaintParams(left=False, right=False, up=False, down=False))


def test_masks_are_white_where_it_is_new_and_a_little_further() -> None:
    left = new_area((192, 128), (192, 128), "left", 72)
    assert white_box(left) == (72, 0, 192, 128)
    right = new_area((192, 128), (192, 128), "right", 72)
    assert white_box(right) == (0, 0, 121, 128)
    spare = new_area((192, 128), (150, 128), "up", 40)
    assert white_box(spare) == (0, 40, 151, 128)


def test_steps_follow_each_other_and_end_at_the_whole_size() -> None:
    params = OutpaintParams(pixels=64, width=128, height=128, seed=5, batch_count=2)
    first, second = plan_outpainting((128, 100), "p", params)
    assert [step.canvas.side for step in first] == ["left", "right", "up", "down"]
    assert [(step.paste.width, step.paste.height) for step in first] == [(192, 100), (256, 100), (256, 178), (256, 256)]
    assert [step.run.width for step in first[:2]] == [128, 128]
    assert [step.run.height for step in first[2:]] == [128, 128]
    assert {step.run.seed for step in first} == {5}
    assert {step.run.seed for step in second} == {6}
    for step in first:
        assert step.mask.size == step.latent_mask.size == (step.window.width, step.window.height)
        assert (step.run.inpaint.fill, step.run.inpaint.area) == ("original", "Whole picture")
        assert step.window.width % 8 == step.window.height % 8 == 0


def test_a_window_is_as_large_as_the_picture_was_unless_a_size_is_asked_for() -> None:
    (steps,) = plan_outpainting((128, 128), "p", OutpaintParams(pixels=64))
    assert [step.run.width for step in steps[:2]] == [128, 128]
    assert [step.run.height for step in steps[2:]] == [128, 128]


def stripes() -> Image.Image:
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:, ::8] = pixels[:, 1::8] = (200, 40, 40)
    return Image.fromarray(pixels)


def test_noise_has_the_colours_of_the_picture_and_leaves_it_alone() -> None:
    mask = Image.new("L", (128, 64))
    mask.paste(255, (64, 0, 128, 64))
    filled = np.asarray(fill_with_noise(stripes(), mask)).astype(int)
    assert np.abs(filled[:, :64] - np.asarray(stripes())[:, :64]).max() == 0
    new = filled[:, 64:].reshape(-1, 3)
    assert new[:, 0].max() > 150
    assert new[:, 1:].max() <= 41
    assert new.std(axis=0)[0] > 20
    again = np.asarray(fill_with_noise(stripes(), mask)).astype(int)
    assert np.array_equal(filled, again)


@pytest.mark.parametrize("color", [0, 255])
def test_noise_of_a_plain_picture_is_plain(color: int) -> None:
    mask = Image.new("L", (64, 64))
    mask.paste(255, (32, 0, 64, 64))
    filled = np.asarray(fill_with_noise(Image.new("RGB", (64, 64), (color,) * 3), mask)).astype(int)
    assert np.abs(filled - color).max() <= 1


def test_a_canvas_grows_with_the_picture_in_its_place() -> None:
    canvas = extend_canvas(stripes(), ContinueParams(side="left", pixels=64, blur=8))
    assert canvas.size == (192, 64)
    kept = np.asarray(canvas).astype(int)[:, 64 + 8 :]
    assert np.array_equal(kept, np.asarray(stripes())[:, 8:])


def test_poor_mans_tiles_cover_the_canvas_and_only_new_ones_are_drawn() -> None:
    params = PoorOutpaintParams(pixels=64, width=128, height=128, seed=5, left=False, up=False, down=False)
    plan = plan_poor_outpainting(Image.new("RGB", (320, 128), "red"), "p", params)
    assert (plan.join.width, plan.join.height) == (384, 128)
    drawn = [piece.run for piece in plan.pieces]
    assert [run is None for run in drawn] == [True] * (len(drawn) - 2) + [False] * 2 or drawn[-1] is not None
    seeds = [run.seed for run in drawn if run]
    assert seeds == list(range(5, 5 + len(seeds)))
    last = plan.pieces[-1]
    assert last.mask.getpixel((127, 64)) == 255
    assert last.mask.getpixel((0, 64)) == 0
    assert last.run is not None
    assert last.run.inpaint.mask_blur_x == 8


def test_poor_mans_tiles_are_filled_from_their_edges_unless_told_otherwise() -> None:
    def fills(**knobs: Any) -> set[str]:
        params = PoorOutpaintParams(pixels=64, width=128, height=128, seed=5, **knobs)
        plan = plan_poor_outpainting(Image.new("RGB", (128, 128), "red"), "p", params)
        return {piece.run.inpaint.fill for piece in plan.pieces if piece.run}

    assert fills() == fills(inpaint={"overlay": False}) == {"fill"}
    assert fills(inpaint={"fill": "latent noise"}) == {"latent noise"}

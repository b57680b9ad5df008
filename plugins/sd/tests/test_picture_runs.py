"""What runs from pictures, large pictures and tiles look like, measured in them: the built-in model draws."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from picture_runs import (
    CIRCLE,
    GENTLE,
    GREEN_STAR,
    MASK,
    SNOW,
    STAR,
    STRENGTHS,
    USUAL,
    changed,
    drawn,
    enlarged,
    from_circle,
    repainted,
)
from runs import change, difference, pixels
from stable_core_sd.images.colours import rgb_to_lab


def share(picture: Any, *strong: int) -> float:
    """Return the share of pixels in which these channels, and no others, are strong."""
    weak = [channel for channel in range(3) if channel not in strong]
    is_clear = picture[..., list(strong)].min(axis=-1) > picture[..., weak].max(axis=-1) + 40
    return float(is_clear.mean())


def distance(first: Image.Image, second: Image.Image) -> float:
    return float(np.abs(pixels(first) - pixels(second)).mean())


class Thing(NamedTuple):
    """What is seen on a flat background: where it is, its colour, and the colour around it."""

    mask: Any
    colour: Any
    ground: Any


def thing_in(picture: Image.Image) -> Thing:
    """Find the one thing in a picture whose outermost lines show the background."""
    shades = pixels(picture)
    ground = np.median(np.concatenate([shades[:4].reshape(-1, 3), shades[-4:].reshape(-1, 3)]), axis=0)
    mask = np.linalg.norm(shades - ground, axis=-1) > 100
    return Thing(mask, shades[mask].mean(axis=0), ground)


def overlap(first: Any, second: Any) -> float:
    """Return which share of what either mask covers is covered by both."""
    return float((first & second).sum() / (first | second).sum())


def is_kept(before: Thing, after: Thing) -> bool:
    """Tell whether a thing has its outline, its colour and its background still."""
    shifts = [np.linalg.norm(after.colour - before.colour), np.linalg.norm(after.ground - before.ground)]
    return overlap(before.mask, after.mask) > 0.93 and max(shifts) < 10


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("prompt", "other"),
    [
        (CIRCLE, GREEN_STAR),
        ("a yellow heart on a black background", "a red triangle on a black background"),
        ("a green square on a white background", "a purple ring on a white background"),
        ("a large white star on a purple background", "a large green circle on a purple background"),
    ],
)
def test_a_low_strength_keeps_shape_and_colour_and_a_high_one_changes_both(prompt: str, other: str, seed: int) -> None:
    source = drawn(prompt, seed)
    knobs = {"checkpoint": "nano", "steps": 16, "seed": seed, "cfg_scale": GENTLE}
    low, high = (thing_in(change(source, other, denoising_strength=strength, **knobs)[0]) for strength in (0.2, 0.9))
    before = thing_in(source)
    assert is_kept(before, low)
    assert overlap(before.mask, high.mask) < 0.7
    assert np.linalg.norm(high.colour - before.colour) > 100


@pytest.mark.parametrize("seed", [1, 2])
def test_a_low_strength_keeps_a_shape_that_the_prompt_names_too_at_the_usual_guidance(seed: int) -> None:
    knobs = {"checkpoint": "nano", "steps": 16, "seed": seed, "cfg_scale": USUAL}
    source, other = drawn(CIRCLE, seed), "a green circle on a blue background"
    low, high = (thing_in(change(source, other, denoising_strength=strength, **knobs)[0]) for strength in (0.2, 0.9))
    assert is_kept(thing_in(source), low)
    assert np.linalg.norm(high.colour - thing_in(source).colour) > 100


def test_the_higher_the_strength_the_more_changes() -> None:
    for cfg_scale in (GENTLE, USUAL):
        far = [distance(drawn(), changed(strength, cfg_scale)) for strength in STRENGTHS]
        assert far == sorted(far)
        assert far[-1] > 60
        assert is_kept(thing_in(drawn()), thing_in(changed(STRENGTHS[0], cfg_scale)))


@pytest.mark.parametrize(
    ("fill", "area"),
    [
        ("fill", "Whole picture"),
        ("original", "Whole picture"),
        ("latent noise", "Whole picture"),
        ("latent nothing", "Whole picture"),
        ("original", "Only masked"),
    ],
)
def test_only_masked_pixels_change_and_they_show_the_prompt(fill: str, area: str) -> None:
    made = pixels(repainted(fill, area))
    outside = np.ones((128, 128), dtype=bool)
    outside[29:99, 29:99] = False  # the mask and what its blur of 2 reaches
    assert (made[outside] == pixels(drawn())[outside]).all()
    inside = made[34:94, 34:94]
    assert share(inside, 0, 1) > 0.05
    assert share(inside, 0) < 0.05 < share(pixels(drawn())[34:94, 34:94], 0)


def test_a_batch_of_runs_from_a_picture_equals_single_runs() -> None:
    knobs = {"checkpoint": "nano", "steps": 12, "sampler": "Euler a"}
    batch = change(drawn(), STAR, mask=MASK, batch_size=4, **knobs)
    singles = [change(drawn(), STAR, mask=MASK, seed=7 + index, **knobs)[0] for index in range(4)]
    assert all(difference(*pair) <= 2 for pair in zip(batch, singles, strict=True))


@pytest.mark.parametrize(("upscaler", "strength"), [("Lanczos", 0.3), ("Latent", 0.6)])
def test_the_second_pass_keeps_the_layout_at_twice_the_size(upscaler: str, strength: float) -> None:
    large = enlarged(upscaler, strength)
    assert large.size == (256, 256)
    circles = [pixels(one)[..., 0] > 128 for one in (drawn(), large.resize((128, 128), Image.Resampling.LANCZOS))]
    assert overlap(*circles) > 0.7
    assert distance(drawn(), large.resize((128, 128))) < 15


def seams(picture: Image.Image) -> list[tuple[float, float]]:
    """Return, along both axes, the difference over the edge and the largest between two neighbouring lines."""
    shades, found = pixels(picture), []
    for axis in (0, 1):
        steps = np.abs(np.diff(shades, axis=axis, append=shades.take([0], axis))).mean(axis=(1 - axis, 2))
        found.append((float(steps[-1]), float(steps[:-1].max())))
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_a_tile_has_no_seam(seed: int) -> None:
    [(vertical, usual), *_] = seams(drawn(SNOW, seed))
    assert vertical > 1.5 * usual
    assert all(seam <= inside for seam, inside in seams(drawn(SNOW, seed, tiling=True)))


def test_tiling_leaves_no_trace_in_later_runs() -> None:
    from stable_core_sd.checkpoint_store import open_checkpoint
    from stable_core_sd.settings import SdSettings

    drawn(SNOW, 1, tiling=True)
    unet = open_checkpoint("nano", "Automatic", SdSettings()).unet
    assert {part.padding_mode for part in unet.modules() if hasattr(part, "padding_mode")} == {"zeros"}


def test_colour_correction_keeps_the_hues_of_the_picture() -> None:
    hues = [
        rgb_to_lab(np.asarray(one))[..., 1:].astype(int)
        for one in (drawn(), changed(0.9), changed(0.9, color_correction=True))
    ]
    means = [np.abs(one.mean(axis=(0, 1)) - hues[0].mean(axis=(0, 1))).sum() for one in hues[1:]]
    assert means[1] < 0.35 * means[0]


def test_extra_noise_and_a_weaker_noise_change_a_little() -> None:
    plain = from_circle(STAR, denoising_strength=0.5)
    for knob in ({"noise_multiplier": 0.9}, {"extra_noise": 0.1}):
        assert 0 < distance(plain, from_circle(STAR, denoising_strength=0.5, **knob)) < 40

"""What runs from pictures, large pictures and tiles look like, measured in them: the built-in model draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from picture_runs import MASK, SNOW, STAR, STRENGTHS, changed, drawn, enlarged, from_circle, repainted
from runs import change, difference, pixels
from stable_core_sd.images.colours import rgb_to_lab


def share(picture: Any, *strong: int) -> float:
    """Return the share of pixels in which these channels, and no others, are strong."""
    weak = [channel for channel in range(3) if channel not in strong]
    is_clear = picture[..., list(strong)].min(axis=-1) > picture[..., weak].max(axis=-1) + 40
    return float(is_clear.mean())


def distance(first: Image.Image, second: Image.Image) -> float:
    return float(np.abs(pixels(first) - pixels(second)).mean())


def test_a_low_strength_keeps_the_picture_and_a_high_one_changes_it() -> None:
    far = [distance(drawn(), changed(strength)) for strength in STRENGTHS]
    assert far == sorted(far)
    assert far[0] < 15
    assert far[-1] > 60
    low, high = pixels(changed(0.2)), pixels(changed(0.9))
    assert share(low, 2) > 0.7
    assert share(high, 1) > 0.7
    assert share(high, 0, 1) > 0.02


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
    assert (circles[0] & circles[1]).sum() / (circles[0] | circles[1]).sum() > 0.7
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
    hues = [rgb_to_lab(np.asarray(one))[..., 1:].astype(int) for one in (drawn(), changed(0.9), changed(0.9, True))]
    means = [np.abs(one.mean(axis=(0, 1)) - hues[0].mean(axis=(0, 1))).sum() for one in hues[1:]]
    assert means[1] < 0.35 * means[0]


def test_extra_noise_and_a_weaker_noise_change_a_little() -> None:
    plain = from_circle(STAR, denoising_strength=0.5)
    for knob in ({"noise_multiplier": 0.9}, {"extra_noise": 0.1}):
        assert 0 < distance(plain, from_circle(STAR, denoising_strength=0.5, **knob)) < 40

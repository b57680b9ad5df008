"""Cheap previews from latents."""

from __future__ import annotations

import pytest
import torch

from stable_core_sd.preview import fit_rgb_factors, preview_image


def test_a_linear_decoder_is_found_exactly() -> None:
    latents, factors = torch.randn(2, 4, 6, 6), torch.randn(5, 3)
    colours = torch.einsum("bchw,ck->bkhw", latents, factors[:4]) + factors[4][:, None, None]
    pixels = torch.nn.functional.interpolate(colours, scale_factor=8, mode="nearest")
    assert torch.allclose(fit_rgb_factors(latents, pixels), factors, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((1, 4, 16, 16), (128, 128)),
        ((1, 4, 64, 96), (256, 171)),
        ((4, 4, 16, 16), (256, 256)),
        ((3, 4, 1, 1), (16, 16)),
    ],
)
def test_size_of_a_preview(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    assert preview_image(torch.zeros(shape), torch.zeros(5, 3), 8).size == size


def test_pictures_stand_side_by_side() -> None:
    latents = torch.zeros(2, 4, 4, 4)
    latents[1, 0] = 1.0
    factors = torch.tensor([[2.0, 2, 2], [0, 0, 0], [0, 0, 0], [0, 0, 0], [-1, -1, -1]])
    sheet = preview_image(latents, factors, 8)
    assert (sheet.size, sheet.getpixel((2, 2)), sheet.getpixel((61, 2))) == ((64, 32), (0, 0, 0), (255, 255, 255))

"""Pictures before and after sampling: blur, masks, tiles, colours. The sizes are held by the reference cases."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageChops

from stable_core_sd.images.blur import gaussian_blur, gaussian_kernel
from stable_core_sd.images.colours import lab_to_rgb, match_colours, rgb_to_lab
from stable_core_sd.images.cropping import crop_region, expand_to_ratio
from stable_core_sd.images.grids import combine_grid, image_grid, split_grid
from stable_core_sd.images.masks import fill_masked, lay_over, overlay_mask, prepare_mask
from stable_core_sd.images.resizing import resize_image, scale_image
from stable_core_sd.images.upscaling import find_upscaler


def noise(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def test_a_blur_is_the_one_of_opencv() -> None:
    # Rows of what cv2.GaussianBlur, first with (11, 1), then with (1, 11), makes of one white pixel at sigma 2.
    pixel = Image.new("L", (15, 15))
    pixel.putpixel((7, 7), 255)
    rows = np.asarray(gaussian_blur(pixel, 2, 2)).tolist()
    assert gaussian_kernel(2).tolist() == [2, 7, 17, 31, 45, 52, 45, 31, 17, 7, 2]
    assert rows[7] == [0, 0, 0, 1, 3, 6, 9, 11, 9, 6, 3, 1, 0, 0, 0]
    assert rows[5] == [0, 0, 0, 1, 2, 4, 5, 6, 5, 4, 2, 1, 0, 0, 0]


@pytest.mark.parametrize("sigma", [0.2, 1, 4, 63.5])
def test_a_blur_keeps_what_is_flat_and_every_size(sigma: float) -> None:
    for size in ((1, 1), (1, 30), (40, 2)):
        assert gaussian_blur(Image.new("L", size, 200), sigma, sigma).getextrema() == (200, 200)
    assert gaussian_kernel(sigma).sum() == 256


def test_a_blur_of_0_changes_nothing_on_that_axis() -> None:
    stripes = Image.new("L", (9, 9))
    stripes.paste(255, (4, 0, 5, 9))
    assert gaussian_blur(stripes, 0, 3).tobytes() == stripes.tobytes()
    assert gaussian_blur(stripes, 3, 0).tobytes() != stripes.tobytes()


def test_a_mask_is_taken_from_alpha_where_there_is_one() -> None:
    picture = noise(8, 8).convert("RGBA")
    assert prepare_mask(picture, False, 0, 0).tobytes() == picture.convert("L").tobytes()
    picture.putalpha(noise(8, 8, "L"))
    mask = prepare_mask(picture, invert=False, blur_x=0, blur_y=0)
    assert set(mask.tobytes()) == {0, 255}
    assert prepare_mask(picture, True, 0, 0).tobytes() == ImageChops.invert(mask).tobytes()


def test_outside_of_the_mask_the_original_stays_bit_by_bit() -> None:
    mask = Image.new("L", (40, 30))
    mask.paste(255, (10, 10, 20, 20))
    mask = prepare_mask(mask, invert=False, blur_x=2, blur_y=2)
    made, original = noise(40, 30, seed=1), noise(40, 30, seed=2)
    laid = np.asarray(lay_over(made, original, overlay_mask(mask)))
    outside, inside = np.asarray(mask) == 0, np.asarray(mask) >= 128
    assert outside.any()
    assert inside.any()
    assert (laid[outside] == np.asarray(original)[outside]).all()
    assert (laid[inside] == np.asarray(made)[inside]).all()


def test_the_masked_part_is_filled_with_the_colours_around() -> None:
    picture = Image.new("RGB", (64, 64), (10, 200, 30))
    picture.paste((255, 0, 0), (20, 20, 40, 40))
    mask = Image.new("L", (64, 64))
    mask.paste(255, (18, 18, 42, 42))
    filled = np.asarray(fill_masked(picture, mask), dtype=int)
    assert np.abs(filled - (10, 200, 30)).max() <= 5


def test_a_single_pixel_is_a_region_and_a_blank_mask_is_none() -> None:
    mask = Image.new("L", (100, 60))
    assert crop_region(mask, 32) is None
    mask.putpixel((99, 59), 1)
    box = crop_region(mask, 0)
    assert box == (99, 59, 100, 60)
    assert expand_to_ratio(box, (64, 64), mask.size) == box


@pytest.mark.parametrize(("size", "overlap"), [((100, 70), 8), ((64, 64), 0), ((33, 50), 16), ((200, 33), 31)])
def test_tiles_make_the_picture_again(size: tuple[int, int], overlap: int) -> None:
    picture = noise(*size)
    again = np.asarray(combine_grid(split_grid(picture, (32, 32), overlap)), dtype=int)
    assert np.abs(again - np.asarray(picture, dtype=int)).max() <= 1


def test_a_picture_smaller_than_a_tile_keeps_its_edge() -> None:
    picture = Image.new("RGB", (20, 90), (200, 200, 200))
    assert combine_grid(split_grid(picture, (32, 32), 8)).getextrema() == ((200, 200),) * 3


def test_smaller_pictures_stand_in_the_middle_of_their_cell() -> None:
    sheet = image_grid([Image.new("RGB", (10, 10), "red"), Image.new("RGB", (4, 6), "blue")], rows=1)
    assert (sheet.size, sheet.mode) == ((20, 10), "RGBA")
    assert [sheet.getpixel(place) for place in ((12, 5), (13, 2), (16, 7), (17, 5))] == [
        (255, 255, 255, 255),
        (0, 0, 255, 255),
        (0, 0, 255, 255),
        (255, 255, 255, 255),
    ]


def test_padding_stretches_the_edge() -> None:
    picture = Image.new("RGB", (40, 40), (9, 99, 199))
    assert resize_image(picture, "pad", (64, 32)).getcolors() == [(64 * 32, (9, 99, 199))]


@pytest.mark.parametrize("mode", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (3000, 2), (17, 31)])
def test_any_picture_fits_any_size(mode: str, size: tuple[int, int]) -> None:
    assert resize_image(noise(*size), mode, (64, 40)).size == (64, 40)  # type: ignore[arg-type]


def test_lab_and_back_is_the_same_colour() -> None:
    pixels = np.asarray(noise(64, 64))
    assert np.abs(lab_to_rgb(rgb_to_lab(pixels)).astype(int) - pixels).mean() < 2
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    assert (np.abs(rgb_to_lab(greys)[:, 1:].astype(int) - 128) <= 1).all()


def test_colour_correction_takes_the_colours_and_keeps_the_light() -> None:
    warm = Image.merge("RGB", [noise(32, 32, "L").point(lambda v, k=k: v * k // 4) for k in (4, 3, 2)])
    grey = noise(32, 32, "L", seed=3).convert("RGB")
    matched = match_colours(grey, warm)
    red, _, blue = (np.asarray(matched, dtype=int)[..., channel].mean() for channel in range(3))
    assert red > blue + 20
    assert np.abs(np.asarray(matched.convert("L"), dtype=int) - np.asarray(grey.convert("L"), dtype=int)).max() <= 3
    same = np.abs(np.asarray(match_colours(warm, warm), dtype=int) - np.asarray(warm, dtype=int))
    assert same.mean() < 3


def test_upscalers_reach_the_size_that_is_asked() -> None:
    assert scale_image(noise(17, 9), (51, 27), find_upscaler("Nearest")).size == (51, 27)
    assert scale_image(noise(64, 64), (128, 128), find_upscaler("Lanczos")).size == (128, 128)
    assert scale_image(noise(64, 64), (20, 128), find_upscaler("Lanczos")).size == (20, 128)
    with pytest.raises(KeyError):
        find_upscaler("Nonsense")

"""The image plugin's jobs on small images, pixel by pixel. Grids have their own file."""

import PIL.Image
import pytest

from stable_core.sdk import InvalidParams, Progress
from stable_core_image.plugin import (
    BlurParams,
    CompositeParams,
    CropParams,
    MakeMaskParams,
    Params,
    ResizeParams,
    RotateParams,
    blur,
    composite,
    crop,
    invert_mask,
    make_mask,
    resize,
    rotate,
)

RED, GREEN, BLUE, BLACK, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0), (255, 255, 255)


def solid(width, height, color=RED, mode="RGB"):
    return PIL.Image.new(mode, (width, height), color)


def quarters():
    """Red | green over blue | white, 2 x 2."""
    image = solid(2, 2)
    for place, color in zip(((1, 0), (0, 1), (1, 1)), (GREEN, BLUE, WHITE), strict=True):
        image.putpixel(place, color)
    return image


def rows(image):
    return [[image.getpixel((x, y)) for x in range(image.width)] for y in range(image.height)]


class TestResize:
    @pytest.mark.parametrize(
        ("params", "size"),
        [
            ({}, (40, 20)),
            ({"width": 20}, (20, 10)),
            ({"height": 40}, (80, 40)),
            ({"width": 7, "height": 9}, (7, 9)),
            ({"width": 20, "height": 20, "mode": "fit"}, (20, 10)),
            ({"width": 20, "height": 20, "mode": "fill"}, (20, 20)),
            ({"width": 20, "height": 20, "mode": "pad"}, (20, 20)),
        ],
    )
    def test_sizes(self, params, size):
        assert resize(solid(40, 20), ResizeParams(**params), Progress()).size == size

    def test_nearest_keeps_hard_edges(self):
        result = resize(quarters(), ResizeParams(width=4, resampling="nearest"), Progress())
        assert rows(result)[0] == [RED, RED, GREEN, GREEN]
        assert rows(result)[3] == [BLUE, BLUE, WHITE, WHITE]

    def test_fill_cuts_the_middle_out(self):
        image = solid(6, 2)
        image.paste(GREEN, (2, 0, 4, 2))
        result = resize(image, ResizeParams(width=2, height=2, mode="fill", resampling="nearest"), Progress())
        assert rows(result) == [[GREEN, GREEN], [GREEN, GREEN]]

    def test_pad_centres_on_the_background(self):
        params = ResizeParams(width=4, height=4, mode="pad", background="#0000ff", resampling="nearest")
        result = resize(solid(4, 2), params, Progress())
        assert [row[0] for row in rows(result)] == [BLUE, RED, RED, BLUE]

    def test_pad_with_a_transparent_background(self):
        result = resize(solid(4, 2), ResizeParams(width=4, height=4, mode="pad", background="#00000000"), Progress())
        assert result.mode == "RGBA"
        assert [row[0][3] for row in rows(result)] == [0, 255, 255, 0]

    @pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
    def test_one_pixel_in_every_mode(self, mode):
        result = resize(solid(1, 1, 7 if mode == "L" else (1, 2, 3), mode), ResizeParams(width=3), Progress())
        assert (result.size, result.mode) == ((3, 3), mode)

    def test_a_thin_image_keeps_at_least_one_pixel(self):
        assert resize(solid(1000, 1), ResizeParams(width=10), Progress()).size == (10, 1)

    def test_too_large_is_refused_before_it_is_made(self):
        with pytest.raises(InvalidParams, match="16,384,000") as caught:
            resize(solid(1, 1000), ResizeParams(width=16384), Progress())
        assert "at most" in caught.value.hint


class TestCrop:
    def test_a_rectangle(self):
        assert rows(crop(quarters(), CropParams(x=1, y=0, width=1, height=2), Progress())) == [[GREEN], [WHITE]]

    def test_zero_goes_to_the_edge_and_more_is_left_away(self):
        assert crop(solid(10, 8), CropParams(x=4, y=2), Progress()).size == (6, 6)
        assert crop(solid(10, 8), CropParams(x=4, y=2, width=100, height=100), Progress()).size == (6, 6)

    @pytest.mark.parametrize("place", [{"x": 10}, {"y": 8}])
    def test_outside_is_refused(self, place):
        with pytest.raises(InvalidParams, match="outside") as caught:
            crop(solid(10, 8), CropParams(**place), Progress())
        assert "10 x 8" in caught.value.hint


class TestRotate:
    def test_a_quarter_turn_counter_clockwise(self):
        assert rows(rotate(quarters(), RotateParams(angle=90), Progress())) == [[GREEN, WHITE], [RED, BLUE]]

    @pytest.mark.parametrize(
        ("flip", "first_row"),
        [("none", [RED, GREEN]), ("horizontal", [GREEN, RED]), ("vertical", [BLUE, WHITE]), ("both", [WHITE, BLUE])],
    )
    def test_flips(self, flip, first_row):
        assert rows(rotate(quarters(), RotateParams(flip=flip), Progress()))[0] == first_row

    def test_expand_grows_and_fills_the_corners(self):
        result = rotate(solid(20, 20), RotateParams(angle=45, background="#0000ff"), Progress())
        assert result.width > 27
        assert (result.getpixel((0, 0)), result.getpixel((14, 14))) == (BLUE, RED)

    def test_without_expand_the_size_stays(self):
        result = rotate(solid(20, 10), RotateParams(angle=90, expand=False, background="#0000ff"), Progress())
        assert result.size == (20, 10)
        assert (result.getpixel((0, 5)), result.getpixel((10, 5))) == (BLUE, RED)

    def test_transparent_corners(self):
        result = rotate(solid(20, 20), RotateParams(angle=45, background="#00000000"), Progress())
        assert (result.getpixel((0, 0))[3], result.getpixel((14, 14))) == (0, (*RED, 255))

    def test_gray_images_turn_too(self):
        assert rotate(solid(20, 20, 9, "L"), RotateParams(angle=30), Progress()).getpixel((13, 13)) == (9, 9, 9)


class TestComposite:
    def test_the_overlay_lies_where_it_is_put(self):
        result = composite(solid(4, 1), solid(2, 1, BLUE), None, CompositeParams(x=1), Progress())
        assert rows(result) == [[RED, BLUE, BLUE, RED]]

    @pytest.mark.parametrize(
        ("x", "expected"), [(-1, [BLUE, RED]), (1, [RED, BLUE]), (9, [RED, RED]), (-9, [RED, RED])]
    )
    def test_what_reaches_over_the_edge_is_cut(self, x, expected):
        result = composite(solid(2, 1), solid(2, 1, BLUE), None, CompositeParams(x=x), Progress())
        assert rows(result) == [expected]

    def test_opacity(self):
        result = composite(solid(1, 1, BLACK), solid(1, 1, WHITE), None, CompositeParams(opacity=0.5), Progress())
        assert result.getpixel((0, 0)) == pytest.approx((127, 127, 127), abs=1)

    def test_the_mask_shows_the_overlay_where_it_is_white(self):
        mask = solid(2, 1, 0, "L")
        mask.putpixel((1, 0), 255)
        result = composite(solid(2, 1), solid(2, 1, BLUE), mask, CompositeParams(), Progress())
        assert rows(result) == [[RED, BLUE]]

    def test_a_mask_of_another_size_is_stretched(self):
        result = composite(solid(8, 8), solid(8, 8, BLUE), solid(1, 1, 255, "L"), CompositeParams(), Progress())
        assert result.getpixel((7, 7)) == BLUE

    @pytest.mark.parametrize(
        ("blend", "expected"),
        [
            ("multiply", (100 * 200 // 255, 0, 0)),
            ("screen", (222, 200, 0)),
            ("darken", (100, 0, 0)),
            ("lighten", (200, 200, 0)),
            ("difference", (100, 200, 0)),
            ("add", (255, 200, 0)),
            ("overlay", (156, 0, 0)),
            ("hard_light", (188, 144, 0)),
        ],
    )
    def test_blend_modes(self, blend, expected):
        base, overlay = solid(1, 1, (100, 0, 0)), solid(1, 1, (200, 200, 0))
        result = composite(base, overlay, None, CompositeParams(blend=blend), Progress())
        assert result.getpixel((0, 0)) == pytest.approx(expected, abs=2)

    def test_transparency_of_both_is_respected(self):
        base = solid(2, 1, (*RED, 0), "RGBA")
        overlay = solid(2, 1, (*BLUE, 255), "RGBA")
        overlay.putpixel((1, 0), (0, 0, 255, 0))
        result = composite(base, overlay, None, CompositeParams(blend="multiply"), Progress())
        assert result.mode == "RGBA"
        assert result.getpixel((0, 0)) == (*BLUE, 255)
        assert result.getpixel((1, 0))[3] == 0


class TestMasks:
    def test_invert(self):
        assert invert_mask(solid(1, 1, 55, "L"), Params(), Progress()).getpixel((0, 0)) == 200

    @pytest.mark.parametrize(
        ("source", "expected"), [("red", 10), ("green", 20), ("blue", 30), ("alpha", 40), ("brightness", 18)]
    )
    def test_sources(self, source, expected):
        image = solid(1, 1, (10, 20, 30, 40), "RGBA")
        mask = make_mask(image, MakeMaskParams(source=source), Progress())
        assert (mask.mode, mask.getpixel((0, 0))) == ("L", expected)

    def test_an_image_without_transparency_is_all_selected(self):
        assert make_mask(solid(1, 1), MakeMaskParams(source="alpha"), Progress()).getpixel((0, 0)) == 255

    def test_the_threshold_makes_hard_edges(self):
        image = solid(2, 1, 100, "L")
        image.putpixel((1, 0), 99)
        assert rows(make_mask(image, MakeMaskParams(threshold=100), Progress())) == [[255, 0]]


def test_blur_spreads_and_keeps_the_whole():
    image = solid(21, 21, 0, "L")
    image.putpixel((10, 10), 255)
    result = blur(image, BlurParams(radius=2), Progress())
    assert 0 < result.getpixel((10, 10)) < 255
    assert result.getpixel((12, 10)) > 0
    assert blur(image, BlurParams(radius=0), Progress()).tobytes() == image.tobytes()

"""The checker is right about every real drawing, and not about wrong ones."""

import random
from collections.abc import Iterator

import numpy as np

from training.nano.checker import find_background, find_features
from training.nano.drawing import draw_scene
from training.nano.evaluate import judge_one, judge_two
from training.nano.prompts import Prompt, held_out_prompts
from training.nano.scenes import Scene, Thing, sample_scene

FEATURES = {"house", "boat", "trees", "pines", "stars"}


def drawings(kinds: set[str], count: int) -> Iterator[tuple[Scene, np.ndarray]]:
    rng = random.Random(11)
    while count:
        scene = sample_scene(rng)
        if scene.kind in kinds:
            count -= 1
            yield scene, np.asarray(draw_scene(scene, rng))


def test_one_object_is_always_read_right() -> None:
    for scene, pixels in drawings({"one"}, 150):
        assert all(judge_one(Prompt("", scene), pixels).values()), scene


def test_two_objects_are_always_read_right() -> None:
    for scene, pixels in drawings({"two"}, 150):
        assert all(judge_two(Prompt("", scene), pixels).values()), scene


def test_the_judged_prompts_themselves_are_read_right() -> None:
    for prompt in held_out_prompts(200):
        pixels = np.asarray(draw_scene(prompt.scene, random.Random(0)))
        judge = judge_one if prompt.scene.kind == "one" else judge_two
        assert all(judge(prompt, pixels).values()), prompt.text


def test_landscape_features_are_always_read_right() -> None:
    for scene, pixels in drawings({"landscape"}, 150):
        assert scene.landscape is not None
        shown = FEATURES & {*scene.landscape.features, *scene.landscape.sky_features}
        assert find_features(pixels) == shown, scene


def test_a_wrong_colour_shape_place_and_background_are_noticed() -> None:
    wanted = Scene("one", "white", (Thing("star", "red", 0.25, 0.25, 0.2),), size="medium", place="top left")
    drawn = Scene("one", "black", (Thing("heart", "blue", 0.75, 0.75, 0.2),))
    verdict = judge_one(Prompt("", wanted), np.asarray(draw_scene(drawn, random.Random(0))))
    assert not any(verdict.values())


def test_swapped_sides_are_noticed() -> None:
    left, right = Thing("star", "red", 0.27, 0.5, 0.18), Thing("ring", "blue", 0.73, 0.5, 0.18)
    wanted = Scene("two", "white", (left, right), relation="right")
    verdict = judge_two(Prompt("", wanted), np.asarray(draw_scene(wanted, random.Random(0))))
    assert verdict["colors"]
    assert not verdict["sides"]


def test_mush_is_no_shape() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    wanted = Scene("one", "white", (Thing("circle", "red", 0.5, 0.5, 0.2),), size="medium")
    assert not judge_one(Prompt("", wanted), noise)["shape"]


def test_an_empty_picture_has_only_a_background() -> None:
    pixels = np.asarray(draw_scene(Scene("plain", "pink"), random.Random(0)))
    assert find_background(pixels) == "pink"
    wanted = Scene("one", "pink", (Thing("circle", "red", 0.5, 0.5, 0.2),), size="medium")
    verdict = judge_one(Prompt("", wanted), pixels)
    assert verdict == {"background": True, "color": False, "shape": False, "place": False}

"""Scenes, pictures and captions are deterministic, and held-out combinations stay out of training."""

import random

import numpy as np
import pytest

from training.nano.captions import FILLER, caption
from training.nano.data import draw_dataset, scene_number
from training.nano.drawing import SIDE, draw_abstract, draw_scene
from training.nano.prompts import held_out_prompts
from training.nano.scenes import COLORS, HELD_OUT_ONE_IN, SHAPES, held_out, sample_scene


@pytest.mark.parametrize("index", range(5))
def test_a_scene_number_always_gives_the_same_picture(index: int) -> None:
    first, second = (np.asarray(draw_scene(*scene_number(index))) for _ in range(2))
    assert first.shape == (SIDE, SIDE, 3)
    assert np.array_equal(first, second)


def test_abstract_pictures_are_deterministic() -> None:
    first, second = (np.asarray(draw_abstract(random.Random(3))) for _ in range(2))
    assert np.array_equal(first, second)


def test_captions_are_deterministic() -> None:
    scene = scene_number(1)[0]
    assert caption(scene, random.Random(5)) == caption(scene, random.Random(5))


def test_training_scenes_are_never_held_out() -> None:
    assert not any(held_out(scene_number(index)[0]) for index in range(2_000))


def test_about_one_combination_in_ten_is_held_out() -> None:
    rng = random.Random(0)
    scenes = [scene for scene in (sample_scene(rng) for _ in range(4_000)) if scene.kind in ("one", "two")]
    share = sum(map(held_out, scenes)) / len(scenes)
    assert share == pytest.approx(1 / HELD_OUT_ONE_IN, abs=0.02)


def test_held_out_prompts_are_never_training_captions() -> None:
    prompts = held_out_prompts(200)
    assert len({prompt.text for prompt in prompts}) == 200
    assert all(held_out(prompt.scene) for prompt in prompts)
    wanted = {prompt.text for prompt in prompts}
    rng = random.Random(0)
    captions = {caption(scene_number(index)[0], rng) for index in range(3_000)}
    assert not wanted & captions


def test_captions_name_no_attribute_that_the_picture_lacks() -> None:
    rng = random.Random(0)
    for index in range(500):
        scene = scene_number(index)[0]
        if scene.kind not in ("one", "two", "count"):
            continue
        words = set(caption(scene, rng).replace("turquoise", "cyan").replace(",", " ").replace(FILLER, " ").split())
        shown = {thing.color for thing in scene.things} | {scene.background}
        assert words & set(COLORS) <= shown
        assert words & set(SHAPES) <= {thing.shape for thing in scene.things}


def test_the_dataset_is_drawn_once(tmp_path) -> None:
    path = draw_dataset(tmp_path, scenes=4, abstract=2, processes=1)
    pictures = np.load(path)
    assert pictures.shape == (6, SIDE, SIDE, 3)
    assert np.array_equal(pictures[2], np.asarray(draw_scene(*scene_number(2))))
    changed = path.stat().st_mtime_ns
    assert draw_dataset(tmp_path, scenes=4, abstract=2, processes=1).stat().st_mtime_ns == changed

"""An embedding that was trained on five pictures of a new thing makes that thing, judged by its colour and outline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from training_pictures import NAME, PLACES, PURPLE, WHITE, drawn_thing, learn, pictures

STEPS = 240


def has_open_mouth(picture: Image.Image) -> bool:
    """Tell whether there is one purple thing of a fair size that is full at its left and open at its right."""
    pixels = np.asarray(picture, dtype=int)
    purple = np.abs(pixels - np.array(PURPLE)).max(axis=-1) < 70
    if not 0.02 < purple.mean() < 0.5:
        return False
    rows, columns = np.flatnonzero(purple.any(axis=1)), np.flatnonzero(purple.any(axis=0))
    thing = purple[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = thing.shape
    middle = thing[height * 2 // 5 : height * 3 // 5 + 1]
    return bool(middle[:, : width // 2].mean() > 0.6 and middle[:, width * 2 // 3 :].mean() < 0.4)


def edges(picture: Image.Image) -> Any:
    """Return the colour of the outermost pixels, of shape (3,)."""
    pixels = np.asarray(picture, dtype=int)
    return np.concatenate([pixels[:4].reshape(-1, 3), pixels[-4:].reshape(-1, 3)]).mean(axis=0)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a models folder to learn into, for all tests of this module."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("learnt")
        patch.setenv("STABLE_CORE_MODELS", str(folder))
        patch.setenv("STABLE_CORE_DEVICE", "cpu")
        yield folder


def test_the_judge_knows_the_thing() -> None:
    assert all(has_open_mouth(drawn_thing(*place)) for place in PLACES)
    assert not has_open_mouth(drawn_thing(*PLACES[0]).transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    disc = Image.new("RGB", (128, 128), WHITE)
    assert not has_open_mouth(disc)
    ImageDraw.Draw(disc).ellipse((30, 30, 90, 90), fill=PURPLE)
    assert not has_open_mouth(disc)


def test_an_embedding_makes_the_thing_that_it_learnt(models: Path) -> None:
    assert sum(map(has_open_mouth, pictures(f"{NAME} on a white background"))) == 0
    assert learn(STEPS) == models / "embeddings" / f"{NAME}.safetensors"
    on_white, on_green = (pictures(f"{NAME} on a {colour} background", 10) for colour in ("white", "green"))
    assert sum(map(has_open_mouth, on_white)) >= 6
    assert sum(map(has_open_mouth, on_green)) >= 5
    assert all(edges(picture).min() > 200 for picture in on_white)
    assert all(edges(picture).argmax() == 1 for picture in on_green)

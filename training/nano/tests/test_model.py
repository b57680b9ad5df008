"""The shipped model is what its card says: a small, plain diffusers folder that draws what is asked."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from training.nano.evaluate import SAMPLERS, Artist, judge_one, judge_two
from training.nano.prompts import Prompt, describe
from training.nano.scenes import Scene, Thing

# Schedulers of diffusers call numpy in a way that newer numpy versions warn about.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
MODEL = Path(__file__).parents[3] / "plugins/sd/stable_core_sd/models/nano"
LARGEST = 30 * 2**20
STAR = Scene("one", "blue", (Thing("star", "yellow", 0.5, 0.5, 0.2),), size="large")
PAIR = Scene(
    "two", "white", (Thing("circle", "red", 0.27, 0.5, 0.18), Thing("square", "blue", 0.73, 0.5, 0.18)), relation="left"
)


def test_the_folder_is_small_and_in_half_precision() -> None:
    assert sum(path.stat().st_size for path in MODEL.rglob("*") if path.is_file()) <= LARGEST
    for path in MODEL.rglob("*.safetensors"):
        with safe_open(path, "pt") as weights:
            assert {weights.get_tensor(name).dtype for name in weights.keys()} == {torch.float16}  # noqa: SIM118


def test_a_bare_load_gives_one_precision() -> None:
    config = json.loads((MODEL / "text_encoder" / "config.json").read_text(encoding="utf-8"))
    assert config["dtype"] == "float32"


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_draws_what_is_asked(sampler: str) -> None:
    artist = Artist(MODEL, sampler)
    star, pair = artist.draw([describe(STAR), describe(PAIR)], [1, 2])
    assert all(judge_one(Prompt("", STAR), star).values())
    assert all(judge_two(Prompt("", PAIR), pair).values())


def test_the_same_seed_gives_the_same_picture() -> None:
    artist = Artist(MODEL, "ddim")
    first, second = (artist.draw(["a red circle"], [7]) for _ in range(2))
    assert (first == second).all()

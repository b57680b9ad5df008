"""Prompts to judge the nano model by: held-out combinations, landscapes and prompts that leave the colour open.

It makes words and says what must be seen; judging pixels is `checker`'s work.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from training.nano.scenes import Scene, held_out, sample_one, sample_two

LINKS = {
    "and": "and",
    "left": "to the left of",
    "right": "to the right of",
    "above": "above",
    "below": "below",
    "inside": "inside",
}
OPEN_PROMPTS = ("a star on a white background", "a heart on a black background", "a circle")
LANDSCAPE_PROMPTS: tuple[tuple[str, str], ...] = (
    ("a house", "house"),
    ("a landscape with a house and trees", "house"),
    ("a red house in the snow", "house"),
    ("a house at night", "house"),
    ("a boat on the sea", "boat"),
    ("a sunset sea with a boat", "boat"),
    ("a boat", "boat"),
    ("a sea landscape with a boat and the sun", "boat"),
    ("a tree", "trees"),
    ("a tree on the grass", "trees"),
    ("a desert landscape with a tree", "trees"),
    ("a landscape with three trees", "trees"),
    ("stars", "stars"),
    ("a night landscape with stars", "stars"),
    ("a starry sky and mountains at night", "stars"),
    ("a sea landscape with stars at night", "stars"),
)
"""Prompts and the feature that must be recognised."""


@dataclass(frozen=True)
class Prompt:
    """Words, and the scene that they describe in full."""

    text: str
    scene: Scene


def held_out_prompts(count: int, seed: int = 2024) -> list[Prompt]:
    """Make count prompts of combinations kept out of training, half with one object, half with two."""
    rng = random.Random(seed)
    return [*_sampled(sample_one, count - count // 2, rng), *_sampled(sample_two, count // 2, rng)]


def _sampled(sample: Callable[[random.Random], Scene], count: int, rng: random.Random) -> list[Prompt]:
    prompts: list[Prompt] = []
    while len(prompts) < count:
        scene = sample(rng)
        text = describe(scene)
        if held_out(scene) and all(text != prompt.text for prompt in prompts):
            prompts.append(Prompt(text, scene))
    return prompts


def describe(scene: Scene) -> str:
    """Say everything about a scene of one or two objects."""
    background = f"on {_article(scene.background)} background"
    if scene.kind == "one":
        thing = scene.things[0]
        size = "" if scene.size == "medium" else f"{scene.size} "
        return f"{_article(f'{size}{thing.color} {thing.shape}')} {_place(scene.place)} {background}"
    first, second = (_article(f"{thing.color} {thing.shape}") for thing in scene.things)
    return f"{first} {LINKS[scene.relation]} {second} {background}"


def _article(words: str) -> str:
    return f"an {words}" if words[:1] in "aeiou" else f"a {words}"


def _place(place: str) -> str:
    if not place:
        return "in the middle"
    if " " in place:
        return f"in the {place}"
    return f"at the {place}" if place in ("top", "bottom") else f"on the {place}"

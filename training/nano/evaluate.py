"""Judge an exported nano model on held-out prompts with several samplers and print JSON.

    python -m training.nano.evaluate --model plugins/sd/stable_core_sd/models/nano --prompts 200

It draws with plain diffusers, not with the plugin, so it judges the model and nothing else.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
)

from training.nano.checker import find_background, find_features, find_nested, find_objects
from training.nano.prompts import LANDSCAPE_PROMPTS, OPEN_PROMPTS, Prompt, held_out_prompts
from training.nano.scenes import PLACES

SAMPLERS: dict[str, tuple[Any, dict[str, object]]] = {
    "euler_a": (EulerAncestralDiscreteScheduler, {}),
    "euler": (EulerDiscreteScheduler, {}),
    "ddim": (DDIMScheduler, {}),
    "dpmpp_2m_karras": (DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
}
PLACE_TOLERANCE = 0.13
"""How far from its place an object may be, as a share of the picture's side."""
BATCHES = {"cpu": 10, "cuda": 100}
"""Pictures drawn at once, by the kind of device."""
STEPS, GUIDANCE = 20, 3.0
Score = dict[str, float]


class Artist:
    """A loaded model that draws batches of prompts with one sampler, in 20 steps and with guidance."""

    def __init__(self, folder: Path, sampler: str, guidance: float = GUIDANCE, device: str = "cpu") -> None:
        self.pipeline = StableDiffusionPipeline.from_pretrained(folder).to(device)
        self.pipeline.set_progress_bar_config(disable=True)
        scheduler, options = SAMPLERS[sampler]
        self.pipeline.scheduler = scheduler.from_config(self.pipeline.scheduler.config, **options)
        self.guidance, self.batch = guidance, BATCHES[device]

    def draw(self, texts: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
        """Draw one picture per text and seed, (count, 128, 128, 3) uint8."""
        pictures = []
        for at in range(0, len(texts), self.batch):
            generators = [torch.Generator().manual_seed(seed) for seed in seeds[at : at + self.batch]]
            made = self.pipeline(
                list(texts[at : at + self.batch]),
                num_inference_steps=STEPS,
                guidance_scale=self.guidance,
                generator=generators,
                output_type="np",
            )
            pictures.append(np.rint(made.images * 255).astype(np.uint8))
        return np.concatenate(pictures)


def judge_one(prompt: Prompt, pixels: np.ndarray) -> dict[str, bool]:
    """Judge a picture of one object; a second object makes shape and place wrong."""
    wanted = prompt.scene.things[0]
    found = find_objects(pixels)
    thing = max(found, key=lambda candidate: candidate.likeness, default=None)
    place_x, place_y = PLACES[prompt.scene.place]
    alone = thing is not None and len(found) == 1
    return {
        "background": find_background(pixels) == prompt.scene.background,
        "color": thing is not None and thing.color == wanted.color,
        "shape": alone and thing is not None and thing.shape == wanted.shape,
        "place": alone
        and thing is not None
        and float(np.hypot(thing.x - place_x, thing.y - place_y)) <= PLACE_TOLERANCE,
    }


def judge_two(prompt: Prompt, pixels: np.ndarray) -> dict[str, bool]:
    """Judge a picture of two objects; an object is known by its colour."""
    scene = prompt.scene
    if scene.relation == "inside":
        nested = find_nested(pixels)
        found = list(nested) if nested else []
    else:
        found = find_objects(pixels)
        if scene.relation in ("above", "below"):
            found = sorted(found, key=lambda thing: thing.y)
        if scene.relation in ("right", "below"):
            found = found[::-1]
    colors = [thing.color for thing in found]
    wanted = [thing.color for thing in scene.things]
    shapes = {thing.color: thing.shape for thing in found}
    return {
        "background": find_background(pixels) == scene.background,
        "colors": sorted(colors) == sorted(wanted),
        "sides": colors == wanted or (scene.relation == "and" and sorted(colors) == sorted(wanted)),
        "first shape": shapes.get(wanted[0]) == scene.things[0].shape,
        "second shape": shapes.get(wanted[1]) == scene.things[1].shape,
    }


def judge_held_out(artist: Artist, count: int) -> tuple[dict[str, Score], list[str]]:
    """Draw and judge the held-out prompts; give percentages and the prompts that failed somewhere."""
    prompts = held_out_prompts(count)
    pictures = artist.draw([prompt.text for prompt in prompts], range(len(prompts)))
    right: dict[str, Counter[str]] = {"one": Counter(), "two": Counter()}
    failures = []
    for prompt, pixels in zip(prompts, pictures, strict=True):
        kind = prompt.scene.kind
        verdict = (judge_one if kind == "one" else judge_two)(prompt, pixels)
        right[kind].update({name: int(passed) for name, passed in verdict.items()}, total=1)
        if not all(verdict.values()):
            failures.append(f"{prompt.text}: {', '.join(name for name, passed in verdict.items() if not passed)}")
    scores = {kind: _percentages(counts) for kind, counts in right.items()}
    scores["two"]["shapes"] = round((scores["two"].pop("first shape") + scores["two"].pop("second shape")) / 2, 1)
    return scores, failures


def _percentages(counts: Counter[str]) -> Score:
    return {name: round(100 * number / counts["total"], 1) for name, number in counts.items() if name != "total"}


def judge_landscapes(artist: Artist, seeds: int = 4) -> Score:
    """Give for house, boat, trees and stars the percentage of pictures in which they are recognised."""
    texts = [text for text, _ in LANDSCAPE_PROMPTS for _ in range(seeds)]
    wanted = [feature for _, feature in LANDSCAPE_PROMPTS for _ in range(seeds)]
    pictures = artist.draw(texts, [*range(seeds)] * len(LANDSCAPE_PROMPTS))
    right: dict[str, list[bool]] = {}
    for feature, pixels in zip(wanted, pictures, strict=True):
        right.setdefault(feature, []).append(feature in find_features(pixels))
    return {feature: round(100 * float(np.mean(passed)), 1) for feature, passed in right.items()}


def count_open_colors(artist: Artist, seeds: int = 24) -> dict[str, int]:
    """Count the object colours seen in so many seeds of prompts that name none."""
    counts = {}
    for text in OPEN_PROMPTS:
        pictures = artist.draw([text] * seeds, range(seeds))
        counts[text] = len({thing.color for pixels in pictures for thing in find_objects(pixels) if thing.shape})
    return counts


def evaluate(artists: dict[str, Artist], prompts: int, everything: bool) -> dict[str, object]:
    """Judge the model with each sampler; landscapes and open colours with the first one."""
    report: dict[str, object] = {}
    for sampler, artist in artists.items():
        scores, failures = judge_held_out(artist, prompts)
        report[sampler] = {**scores, "failures": failures}
        if everything and len(report) == 1:
            started = time.perf_counter()
            artist.draw(["a red circle on a blue background"], [1])
            report["seconds per picture"] = round(time.perf_counter() - started, 2)
            report["landscapes"] = judge_landscapes(artist)
            report["open colors"] = count_open_colors(artist)
    return report


def main() -> None:
    """Read the command line, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--samplers", nargs="+", choices=tuple(SAMPLERS), default=tuple(SAMPLERS))
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--quick", action="store_true", help="held-out prompts only")
    parser.add_argument("--device", choices=tuple(BATCHES), default="cpu")
    given = parser.parse_args()
    artists = {name: Artist(given.model, name, given.guidance, given.device) for name in given.samplers}
    print(json.dumps(evaluate(artists, given.prompts, not given.quick), indent=2))


if __name__ == "__main__":
    main()

"""What a run makes, cut into batches: the prompt, negative prompt and seeds of every picture. It draws nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stable_core_sd.names import find_sampler
from stable_core_sd.noise import image_seeds, variation_seeds
from stable_core_sd.params import RunParams


@dataclass(frozen=True)
class Batch:
    """The pictures that are made at once: one prompt, negative prompt, seed and seed of a variation each."""

    prompts: list[str]
    negative_prompts: list[str]
    seeds: list[int]
    subseeds: list[int]
    size: tuple[int, int]

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self.seeds)


def batches(prompt: str, params: RunParams, size: tuple[int, int]) -> Iterator[Batch]:
    """Yield what is made at once; picture `i` of the run has the seed `seed + i` however it is cut into batches.

    With a variation all pictures share the seed, and the seed of the variation counts up. Lists given in
    `params.each` stand for the prompts and seeds; the run ends with the shortest.
    """
    count, each, variation = params.batch_size * params.batch_count, params.each, params.variation
    seeds = each.seeds or image_seeds(params.seed, count, variation.strength)
    subseeds = each.variation_seeds or variation_seeds(variation.seed, count)
    prompts = each.prompts or [prompt] * count
    negative_prompts = each.negative_prompts or [params.negative_prompt] * count
    pictures = list(zip(prompts, negative_prompts, seeds, subseeds, strict=False))[:count]
    sampler = find_sampler(params.sampler)
    at_once = 1 if sampler and sampler.is_adaptive else params.batch_size  # those choose their steps by the whole batch
    for begin in range(0, len(pictures), at_once):
        columns = zip(*pictures[begin : begin + at_once], strict=True)
        chosen_prompts, chosen_negative_prompts, chosen_seeds, chosen_subseeds = map(list, columns)
        yield Batch(chosen_prompts, chosen_negative_prompts, chosen_seeds, chosen_subseeds, size)

"""Random numbers from seeds: the noise of every image of a batch. It does not know when noise is asked for."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from stable_core_sd.device import send
from stable_core_sd.params import RunParams
from stable_core_sd.philox import Philox

MAX_RANDOM_SEED = 4294967293
SeedSource = Literal["CPU", "GPU", "NV"]

Shape = tuple[int, int, int]
"""(channels, height / 8, width / 8)"""

NEARLY_PARALLEL = 0.9995
LATENT_PIXEL = 8


@dataclass(frozen=True)
class Variation:
    """What the first noise is mixed from, besides the seeds.

    Attributes:
        seeds: a second seed per image; 0 stands for missing ones.
        strength: 0 takes no second seed, 1 only that.
        from_size: (width, height) in latent pixels of another picture of the same seed that this one should resemble.
    """

    seeds: Sequence[int] = ()
    strength: float = 0.0
    from_size: tuple[int, int] | None = None


class ImageNoise:
    """One random generator per image, so that a batch makes the same pictures as single runs."""

    def __init__(
        self,
        shape: Shape,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        source: SeedSource = "CPU",
        variation: Variation = Variation(),
        seed_delta: int = 0,
    ) -> None:
        """Take where results go and, with the source `GPU`, are drawn; `seed_delta` is added after the first draw."""
        self.shape, self.seeds, self.device, self.source = shape, list(seeds), torch.device(device), source
        self._variation, self._seed_delta = variation, seed_delta
        self._generators: list[Callable[[Shape], torch.Tensor]] = []

    def __call__(self) -> torch.Tensor:
        """Return the next draw of every image, float32, of shape (images, channels, height / 8, width / 8)."""
        if self._generators:
            return self._stack([generator(self.shape) for generator in self._generators])
        self._generators = [self.generator(seed) for seed in self.seeds]
        first = self._stack([self._first(index) for index in range(len(self.seeds))])
        if self._seed_delta:
            self._generators = [self.generator(seed + self._seed_delta) for seed in self.seeds]
        return first

    def generator(self, seed: int) -> Callable[[Shape], torch.Tensor]:
        """Return a function that returns the draws of a seed, one after the other."""
        if self.source == "NV":
            philox = Philox(seed)
            return lambda shape: torch.from_numpy(philox.randn(shape))
        device = self.device if self.source == "GPU" else torch.device("cpu")
        generator = torch.Generator(device).manual_seed(seed)
        return lambda shape: torch.randn(shape, generator=generator, device=device)

    def draw(self, seed: int) -> torch.Tensor:
        """Return the first draw of a seed, which stands for no image, where it was drawn."""
        return self.generator(seed)(self.shape)

    def _stack(self, draws: list[torch.Tensor]) -> torch.Tensor:
        return send(torch.stack(draws), self.device)

    def _first(self, index: int) -> torch.Tensor:
        """Return the first noise of an image, which seed resize and variation have a say in."""
        seed, variation = self.seeds[index], self._variation
        width, height = variation.from_size or (self.shape[2], self.shape[1])
        drawn_shape = self.shape[0], height, width
        is_resized = drawn_shape != self.shape
        noise = self.generator(seed)(drawn_shape) if is_resized else self._generators[index](self.shape)
        if variation.strength:
            second = variation.seeds[index] if index < len(variation.seeds) else 0
            noise = slerp(variation.strength, noise, self.generator(second)(drawn_shape))
        return paste_centre(noise, self._generators[index](self.shape)) if is_resized else noise


def image_noise(
    params: RunParams, shape: Shape, seeds: Sequence[int], subseeds: Sequence[int], device: torch.device | str
) -> ImageNoise:
    """Return fresh generators for the images of a batch, with the knobs of a run; `subseeds` are the variations'."""
    knobs, resize = params.noise, (params.variation.resize_from_width, params.variation.resize_from_height)
    from_size = (resize[0] // LATENT_PIXEL, resize[1] // LATENT_PIXEL) if min(resize) > 0 else None
    variation = Variation(subseeds, params.variation.strength, from_size)
    return ImageNoise(shape, seeds, device, knobs.source, variation, knobs.seed_delta)


def slerp(share: float, start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
    """Turn from `start` to `end`, which keeps the variance of noise, over vectors along the second axis, the height.

    Where both are nearly parallel, the difference is blended; the original swaps the ends then, and so does this.

    Source: Shoemake 1985, https://doi.org/10.1145/325165.325242.
    """
    cosine = (_normalized(start) * _normalized(end)).sum(1)
    if cosine.mean() > NEARLY_PARALLEL:
        return start * share + end * (1 - share)
    angle = torch.acos(cosine)
    sine = torch.sin(angle)
    first, second = torch.sin((1 - share) * angle) / sine, torch.sin(share * angle) / sine
    return first.unsqueeze(1) * start + second.unsqueeze(1) * end


def _normalized(noise: torch.Tensor) -> torch.Tensor:
    return noise / torch.linalg.vector_norm(noise, dim=1, keepdim=True)


def paste_centre(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return `target` with the centre of `source` in its own centre; both are (channels, height, width)."""
    rows, columns = (_overlap(source.shape[axis], target.shape[axis]) for axis in (1, 2))
    pasted = target.clone()
    pasted[:, rows[1], columns[1]] = source[:, rows[0], columns[0]]
    return pasted


def _overlap(source: int, target: int) -> tuple[slice, slice]:
    """Return where on one axis the centre of the source is taken from and put to."""
    offset = (target - source) // 2  # rounded down, so what is left over is at the end or, cropped, one pixel short
    if offset >= 0:
        return slice(0, source), slice(offset, offset + source)
    return slice(-offset, -offset + source + 2 * offset), slice(0, source + 2 * offset)


def random_seed() -> int:
    """Return a seed that nobody chose."""
    return random.SystemRandom().randint(0, MAX_RANDOM_SEED)


def image_seeds(seed: int | Sequence[int], count: int, variation_strength: float = 0.0) -> list[int]:
    """Return the seed of each image: `seed`, `seed + 1`, …, or always `seed` if variations are mixed in.

    A list is taken as it is; -1 chooses the first at random.
    """
    if not isinstance(seed, int):
        return list(seed)
    first = random_seed() if seed == -1 else seed
    return [first + (0 if variation_strength else index) for index in range(count)]


def variation_seeds(seed: int | Sequence[int], count: int) -> list[int]:
    """Return the second seed of each image: `seed`, `seed + 1`, …, whatever the strength."""
    return image_seeds(seed, count)

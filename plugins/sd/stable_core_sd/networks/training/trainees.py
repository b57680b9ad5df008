"""What can be trained: the vectors of an embedding, or the networks of a hypernetwork. The loop is elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from stable_core_sd.networks.embedding import Embedding
from stable_core_sd.networks.embedding_card import make_card, save_card
from stable_core_sd.networks.embedding_file import pickled_form, write_embedding
from stable_core_sd.networks.hypernetwork import attached
from stable_core_sd.networks.hypernetwork_file import Hypernetwork, write_hypernetwork
from stable_core_sd.networks.training.contexts import Vectors, encode_texts
from stable_core_sd.networks.training.drawing import draw_picture
from stable_core_sd.networks.training.loop import Trainee
from stable_core_sd.networks.training.noise_loss import NoiseLoss
from stable_core_sd.networks.training.pictures import LatentSampling, ShowingOrder, TrainingPicture
from stable_core_sd.networks.training.texts import TagRules, fill_template


@dataclass(frozen=True)
class Lesson:
    """The pictures with all rules about how they are shown."""

    pictures: Sequence[TrainingPicture]
    order: ShowingOrder
    templates: Sequence[str]
    name: str
    tags: TagRules
    latent_sampling: LatentSampling
    seed: int
    noise_from: float = 0.0
    preview_prompt: str = ""
    preview_seed: int = 0
    makes_cards: bool = False

    def batch(self, index: int) -> Batch:
        """Return a batch by its number: always the same one for a seed."""
        shown = self.order.batch(index)
        chosen = [self.pictures[one] for one in shown]
        number = self.seed * 1_000_003 + index
        generator, random = torch.Generator().manual_seed(number), Random(number)
        latents = [self._latent(one, generator) for one in shown]
        texts = [
            fill_template(self.templates, self.name, self.tags.apply(picture.words, random), random)
            for picture in chosen
        ]
        weights = [one.weight if one.weight is not None else torch.ones_like(one.mean[:1]) for one in chosen]
        has_weights = any(one.weight is not None for one in chosen)
        return Batch(torch.stack(latents), texts, torch.stack(weights) if has_weights else None, generator)

    @property
    def drawn_prompt(self) -> str:
        """Return what is drawn on the way."""
        template = self.preview_prompt or self.templates[0]
        return template.replace("[name]", self.name).replace("[filewords]", self.pictures[0].words)

    def _latent(self, index: int, generator: torch.Generator) -> Tensor:
        picture = self.pictures[index]
        if self.latent_sampling == "deterministic":
            return picture.latent(None)
        if self.latent_sampling == "once":
            return picture.latent(torch.Generator().manual_seed(self.seed + index))
        return picture.latent(generator)


@dataclass(frozen=True)
class Batch:
    """What is shown at once, and the random numbers that belong to it."""

    latents: Tensor
    texts: list[str]
    weights: Tensor | None
    generator: torch.Generator


def embedding_trainee(checkpoint: Any, lesson: Lesson, vectors: Vectors, facts: Mapping[str, Any]) -> Trainee:
    """Return an embedding that learns from a lesson, beginning with some vectors.

    Args:
        facts: more fields of `Embedding`, for its file.
    """
    learnt = {width: nn.Parameter(one.clone()) for width, one in vectors.items()}
    noise_loss = NoiseLoss(checkpoint, lesson.noise_from)

    def loss(index: int) -> Tensor:
        batch = lesson.batch(index)
        context = encode_texts(checkpoint, batch.texts, {lesson.name: learnt})
        return noise_loss(batch.latents, context, batch.generator, batch.weights)

    def learnt_so_far(step: int = 0) -> Embedding:
        return Embedding(lesson.name, {width: one.detach().clone() for width, one in learnt.items()}, step, **facts)

    def write(path: Path, step: int) -> None:
        write_embedding(learnt_so_far(step), path)

    def draw() -> Image.Image:
        return draw_picture(checkpoint, lesson.drawn_prompt, lesson.preview_seed, {lesson.name: learnt_so_far()})

    def keep(picture: Image.Image, path: Path, step: int) -> None:
        if lesson.makes_cards:
            save_card(make_card(picture, pickled_form(learnt_so_far(step))), path)
        else:
            picture.save(path)

    parameters, scales = list(learnt.values()), _needs_scaling(checkpoint)
    return Trainee(parameters, loss, write, draw, "embeddings", ".safetensors", scales, keep)


def hypernetwork_trainee(checkpoint: Any, lesson: Lesson, network: Hypernetwork) -> Trainee:
    """Return a hypernetwork that learns from a lesson; texts are encoded once if they do not vary."""
    parameters = [one for pair in network.modules.values() for module in pair for one in module.parameters()]
    noise_loss, encode = NoiseLoss(checkpoint, lesson.noise_from), _text_cache(checkpoint)
    for pair in network.modules.values():
        for module in pair:
            module.to(checkpoint.device).train().requires_grad_()

    def loss(index: int) -> Tensor:
        batch = lesson.batch(index)
        devices = [checkpoint.device] if checkpoint.device.type == "cuda" else []
        with torch.random.fork_rng(devices), attached(checkpoint.unet, [(network.modules, 1.0)]):
            torch.manual_seed(batch.generator.initial_seed())  # of dropout
            return noise_loss(batch.latents, encode(batch.texts), batch.generator, batch.weights)

    def write(path: Path, step: int) -> None:
        network.step = step
        write_hypernetwork(network, path)

    def draw() -> Image.Image:
        modules = [module for pair in network.modules.values() for module in pair]
        for module in modules:
            module.eval()
        with attached(checkpoint.unet, [(network.modules, 1.0)]):
            picture = draw_picture(checkpoint, lesson.drawn_prompt, lesson.preview_seed, {})
        for module in modules:
            module.train()
        return picture

    return Trainee(parameters, loss, write, draw, "hypernetworks", ".pt", _needs_scaling(checkpoint))


def _text_cache(checkpoint: Any, most: int = 1000) -> Callable[[Sequence[str]], Tensor]:
    kept: dict[str, Tensor] = {}

    def encode(texts: Sequence[str]) -> Tensor:
        with torch.no_grad():
            for text in texts:
                if text not in kept:
                    if len(kept) >= most:
                        kept.clear()
                    kept[text] = encode_texts(checkpoint, [text], {})[0]
        found = [kept[text] for text in texts]
        longest = max(map(len, found))
        return torch.stack([_lengthen(one, longest) for one in found])

    return encode


def _lengthen(context: Tensor, length: int) -> Tensor:
    """Repeat the last token of a context of shape (tokens, width)."""
    return torch.cat([context, context[-1:].expand(length - len(context), -1)])


def _needs_scaling(checkpoint: Any) -> bool:
    return checkpoint.device.type == "cuda" and checkpoint.unet.dtype == torch.float16

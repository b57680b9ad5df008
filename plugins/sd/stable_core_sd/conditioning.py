"""What the UNet is told at each call about every picture of a batch. Encoding texts and guiding are elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stable_core_sd.checkpoint import Checkpoint
from stable_core_sd.model_kinds import Kind
from stable_core_sd.networks.activation import ActiveNetworks
from stable_core_sd.networks.embedding import Embedding
from stable_core_sd.networks.embedding_file import usable_embeddings
from stable_core_sd.params import RunParams
from stable_core_sd.prompt.composition import split_parts
from stable_core_sd.prompt.editing import StepCount
from stable_core_sd.prompt.extra_networks import take_batch_networks
from stable_core_sd.recent import Recent
from stable_core_sd.size_conditions import SizeConditions, added_conditions
from stable_core_sd.text_schedule import EncodedSchedule, EncodedText, ScheduleEncoder

if TYPE_CHECKING:
    from stable_core_sd.batches import Batch


@dataclass(frozen=True)
class Told:
    """One text for each row of a UNet's batch.

    Attributes:
        hidden: of shape (rows, tokens, width).
        added: what some kinds of models are told beside it, by diffusers' names; tensors with as many rows.
    """

    hidden: Tensor
    added: Mapping[str, Tensor]

    @classmethod
    def join(cls, some: Sequence[Told]) -> Told:
        """Return the rows of several, which are equally long, one after the other."""
        added = {name: torch.cat([one.added[name] for one in some]) for name in some[0].added}
        return cls(torch.cat([one.hidden for one in some]), added)


@dataclass(frozen=True)
class CallTexts:
    """What one call of the model is told: a row of `prompt` for each part, a row of `negative` for each picture."""

    prompt: Told
    negative: Told

    @cached_property
    def together(self) -> Told | None:
        """Return the rows of both, one after the other; None if they are not equally long."""
        is_equal = self.prompt.hidden.shape[1] == self.negative.hidden.shape[1]
        return Told.join([self.prompt, self.negative]) if is_equal else None


@dataclass(frozen=True)
class Part:
    """A text that guides one picture of the batch, with its weight."""

    image: int
    schedule: EncodedSchedule
    weight: float


@dataclass(frozen=True)
class Conditioning:
    """The texts of a batch over the calls of one pass.

    Attributes:
        kind: of the model that is told.
        parts: the prompts' parts, in the order of the pictures.
        negatives: the negative prompt of each picture.
        sizes: what kinds that ask for it are told about the picture's size.
        empty: one chunk without text, to make prompts equally long with; None leaves them as they are.
        fits_negative: make the negative prompt as long as the prompt by its last token or by cutting it instead.
    """

    kind: Kind
    parts: Sequence[Part]
    negatives: Sequence[EncodedSchedule]
    sizes: SizeConditions
    empty: Tensor | None = None
    fits_negative: bool = False
    _latest: Recent[CallTexts] = field(default_factory=lambda: Recent(1), init=False, repr=False)

    @property
    def images(self) -> list[int]:
        """Return which picture each part belongs to."""
        return [part.image for part in self.parts]

    @property
    def weights(self) -> list[float]:
        """Return the weight of each part."""
        return [part.weight for part in self.parts]

    @property
    def is_composed(self) -> bool:
        """Return whether a picture has several parts, or one of another weight than 1."""
        return len(self.parts) != len(self.negatives) or any(weight != 1 for weight in self.weights)

    @property
    def schedules(self) -> list[EncodedSchedule]:
        """Return all different schedules."""
        schedules = [part.schedule for part in self.parts] + list(self.negatives)
        return list({id(schedule): schedule for schedule in schedules}.values())

    @property
    def dropped(self) -> list[tuple[int, ...]]:
        """Return the tokens for which there was no room, for each text that has any."""
        return [tokens for schedule in self.schedules for tokens in schedule.dropped]

    @property
    def embeddings(self) -> list[Embedding]:
        """Return the embeddings that stand in the texts, each once."""
        used = [embedding for schedule in self.schedules for embedding in schedule.embeddings]
        return list({embedding.name: embedding for embedding in used}.values())

    def at(self, call: int) -> CallTexts:
        """Return what the model call with this number, from 0, is told; the same object while it stays the same."""
        prompts = [part.schedule.at(call) for part in self.parts]
        negatives = [schedule.at(call) for schedule in self.negatives]
        key = (*map(id, prompts), *map(id, negatives))
        return self._latest.get(key, lambda: self._fitted(prompts, negatives))

    def _fitted(self, prompts: Sequence[EncodedText], negatives: Sequence[EncodedText]) -> CallTexts:
        prompt, negative = self._told(prompts, is_negative=False), self._told(negatives, is_negative=True)
        missing = prompt.hidden.shape[1] - negative.hidden.shape[1]
        if self.fits_negative and missing:
            negative = Told(fit_length(negative.hidden, prompt.hidden.shape[1]), negative.added)
        elif self.empty is not None and missing > 0:
            negative = Told(self._pad(negative.hidden, missing), negative.added)
        elif self.empty is not None and missing < 0:
            prompt = Told(self._pad(prompt.hidden, -missing), prompt.added)
        return CallTexts(prompt, negative)

    def _told(self, texts: Sequence[EncodedText], is_negative: bool) -> Told:
        length = max(len(text.hidden) for text in texts)
        hidden = torch.stack([fit_length(text.hidden[None], length)[0] for text in texts])
        pooled = [text.pooled for text in texts if text.pooled is not None]
        added = added_conditions(self.kind, torch.stack(pooled) if pooled else None, self.sizes, is_negative)
        return Told(hidden, added)

    def _pad(self, hidden: Tensor, missing: int) -> Tensor:
        assert self.empty is not None
        padding = self.empty.repeat(missing // len(self.empty), 1)
        return torch.cat([hidden, padding.expand(len(hidden), -1, -1)], 1)


def fit_length(hidden: Tensor, length: int) -> Tensor:
    """Return texts of shape (rows, tokens, width) made `length` tokens long, by repeating the last or by cutting."""
    missing = length - hidden.shape[1]
    if missing <= 0:
        return hidden[:, :length]
    return torch.cat([hidden, hidden[:, -1:].expand(-1, missing, -1)], 1)


def condition(
    checkpoint: Checkpoint, params: RunParams, batch: Batch, count: StepCount, active: ActiveNetworks
) -> Conditioning:
    """Return what a batch is told over a pass; equal texts are encoded once.

    Args:
        checkpoint: encodes, with the networks of the batch applied.
        params: say how texts are read and made equally long.
        batch: the pictures; networks in their prompts are left out.
        count: the steps that edits are counted in.
        active: the networks that are applied; some bring embeddings with them.
    """
    embeddings, _ = usable_embeddings(checkpoint.text_widths)
    encode = ScheduleEncoder(checkpoint, params.text, embeddings | active.embeddings, active.key)
    prompts, _ = take_batch_networks(batch.prompts)
    parts = [
        Part(image, encode(part.text, count), part.weight)
        for image, prompt in enumerate(prompts)
        for part in split_parts(prompt)
    ]
    negatives = [encode(prompt, count, is_negative=True) for prompt in batch.negative_prompts]
    pads, fits = params.guidance.pad_texts, params.guidance.pad_texts_old
    padding = encode("", count).at(0).hidden if pads and not fits else None
    return Conditioning(checkpoint.kind, parts, negatives, SizeConditions(*batch.size), padding, fits)

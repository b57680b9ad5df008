"""`denoise(x, sigma)` for a real model: scaling, classifier-free guidance, prediction types. It runs no loop."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stable_core_sd.checkpoint import Checkpoint
from stable_core_sd.conditioning import CallTexts, Conditioning, Told
from stable_core_sd.guidance import Guidance
from stable_core_sd.schedules import SigmaTable


class Denoiser:
    """Guess the clean latents in noisy ones, guided by prompts.

    Prompts and negative prompts run as one batch when they are equally long, else one after the other; no size was
    found at which two calls are faster (benchmarks/sd_batching.py: on a CPU one call takes 0.70 of their time for the
    built-in model, 0.97 at the shape of Stable Diffusion 1.5 and 512 pixels). With a guidance of 1 negative prompts
    have no effect and are left out.

    Sources: classifier-free guidance, Ho and Salimans 2022, https://arxiv.org/abs/2207.12598; several prompts, Liu et
    al. 2022, https://arxiv.org/abs/2206.01714.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        conditioning: Conditioning,
        guidance: Guidance,
        table: SigmaTable | None = None,
        beside: Tensor | None = None,
    ) -> None:
        """Take the texts of one pass; they are looked up by the number of calls so far.

        Args:
            table: the timesteps that the model is asked about, if they are not those of the checkpoint.
            beside: channels that the model sees beside the latents, (batch or 1, channels, height / 8, width / 8).
        """
        self.unet, self.table = checkpoint.unet, table or checkpoint.sigma_table
        self.dtype = checkpoint.unet.dtype  # asking a model for it looks at every weight
        self.predicts_v = checkpoint.prediction_type == "v_prediction"
        self.conditioning, self.guidance, self.beside = conditioning, guidance, beside
        self.is_guided = guidance.scale != 1 or conditioning.is_composed
        self.calls = 0
        self._latest: tuple[Tensor, float, Tensor, Tensor | None] | None = None

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """Return the guess for float32 `x`, (batch, 4, height / 8, width / 8), with noise of strength `sigma`."""
        prompted, negative = self.outputs(x, sigma, needs_negative=self.is_guided)
        return self.clean(x, sigma, self.guide(prompted, negative))

    def both(self, x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """Return the guess and the one that the negative prompt alone leads to, for samplers that need it."""
        prompted, negative = self.outputs(x, sigma, needs_negative=True)
        unguided = self.first_parts(prompted) if negative is None else negative
        return self.clean(x, sigma, self.guide(prompted, negative)), self.clean(x, sigma, unguided)

    def outputs(self, x: Tensor, sigma: float, needs_negative: bool) -> tuple[Tensor, Tensor | None]:
        """Return what the model makes of each part of the prompts and, unless it is left out, of the negative ones."""
        texts = self.conditioning.at(self.calls)
        if self.guidance.does_without_negative(self.calls, sigma, self.table.timestep(sigma)):
            needs_negative = False
        self.calls += 1
        output = self.predict(x, sigma, texts, needs_negative)
        parts = len(texts.prompt.hidden)
        prompted, negative = output[:parts], output[parts:] if needs_negative else None
        self._latest = (x, sigma, prompted, negative)
        return prompted, negative

    def latest_guess(self, of_negative: bool) -> Tensor | None:
        """Return what the last call guessed by the first part of each prompt alone, or by the negative prompts alone.

        It is None where that was not asked for.
        """
        if self._latest is None:
            return None
        x, sigma, prompted, negative = self._latest
        output = negative if of_negative else self.first_parts(prompted)
        return None if output is None else self.clean(x, sigma, output)

    def clean(self, x: Tensor, sigma: float, output: Tensor) -> Tensor:
        """Return the clean latents that a prediction of the model means."""
        if self.predicts_v:
            return x / (sigma**2 + 1) - output * (sigma / math.sqrt(sigma**2 + 1))
        return x - output * sigma

    def predict(self, x: Tensor, sigma: float, texts: CallTexts, needs_negative: bool) -> Tensor:
        """Return what the model makes of each part's picture and then, if it is needed, of every picture."""
        seen = self.see(x, sigma, self.beside)
        runs = [(self.spread(seen), texts.prompt)]
        if needs_negative:
            runs.append((seen, texts.negative))
            if texts.together is not None:
                runs = [(torch.cat([part for part, _ in runs]), texts.together)]
        return torch.cat([self.ask(part, told, sigma) for part, told in runs])

    def see(self, x: Tensor, sigma: float, beside: Tensor | None) -> Tensor:
        """Return what the model sees of noisy latents: scaled to variance one, with the channels beside them."""
        scaled = (x * (1 / math.sqrt(sigma**2 + 1))).to(self.dtype)
        return scaled if beside is None else torch.cat([scaled, beside.to(self.dtype).expand(len(x), -1, -1, -1)], 1)

    def ask(self, seen: Tensor, told: Told, sigma: float) -> Tensor:
        """Return the model's prediction, float32, for what it sees, with a text for each row."""
        timestep = torch.full((1,), self.table.timestep(sigma), device=seen.device)  # a copy would wait for the GPU
        made: Tensor = self.unet(
            seen, timestep, encoder_hidden_states=told.hidden, added_cond_kwargs=told.added, return_dict=False
        )[0]
        return made.float()

    def spread(self, x: Tensor) -> Tensor:
        """Return pictures, (batch, …), once for each part of their prompts."""
        images = self.conditioning.images
        return x if images == list(range(len(x))) else rows_of(x, images)

    def guide(self, prompted: Tensor, negative: Tensor | None) -> Tensor:
        """Return the negative prompt's prediction for each picture, moved towards those of the prompt's parts.

        Without one, the first part of each prompt stands for it and the others count by their weights alone.
        """
        scale = 1.0 if negative is None else self.guidance.scale
        if not self.conditioning.is_composed:
            return prompted if negative is None else torch.lerp(negative, prompted, scale)
        base = self.first_parts(prompted) if negative is None else negative
        output = base.clone()
        for row, image, weight in zip(prompted, self.conditioning.images, self.conditioning.weights, strict=True):
            output[image] += (row - base[image]) * (weight * scale)
        return output

    def first_parts(self, prompted: Tensor) -> Tensor:
        """Return the prediction of the first part of each picture's prompt."""
        images = self.conditioning.images
        return rows_of(prompted, [images.index(image) for image in range(len(self.conditioning.negatives))])


def rows_of(x: Tensor, rows: list[int]) -> Tensor:
    """Return some rows of a tensor; an index made of a list would have to be copied to the GPU and waited for."""
    return torch.stack([x[row] for row in rows])

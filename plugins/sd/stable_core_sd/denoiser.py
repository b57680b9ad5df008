"""`denoise(x, sigma)` for a real model: scaling, classifier-free guidance, prediction types. It runs no loop."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stable_core_sd.checkpoint import Checkpoint
from stable_core_sd.conditioning import Conditioning, Told


class Denoiser:
    """Guess the clean latents in noisy ones, guided by prompts.

    Prompts and negative prompts run as one batch when they are equally long, else one after the other. With a
    `cfg_scale` of 1 negative prompts have no effect and are left out.

    Sources: classifier-free guidance, Ho and Salimans 2022, https://arxiv.org/abs/2207.12598; several prompts, Liu et
    al. 2022, https://arxiv.org/abs/2206.01714.
    """

    def __init__(self, checkpoint: Checkpoint, conditioning: Conditioning, cfg_scale: float) -> None:
        """Take the texts of one pass; they are looked up by the number of calls so far."""
        self.unet, self.table = checkpoint.unet, checkpoint.sigma_table
        self.dtype = checkpoint.unet.dtype  # asking a model for it looks at every weight
        self.predicts_v = checkpoint.prediction_type == "v_prediction"
        self.conditioning, self.cfg_scale = conditioning, cfg_scale
        self.is_guided = cfg_scale != 1 or conditioning.is_composed
        self.calls = 0

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """Return the guess for float32 `x`, (batch, 4, height / 8, width / 8), with noise of strength `sigma`."""
        prompt, negative = self.conditioning.at(self.calls)
        self.calls += 1
        output = self.predict(x, sigma, [prompt, negative] if self.is_guided else [prompt])
        if self.is_guided:
            output = self.guide(output[: len(prompt.hidden)], output[len(prompt.hidden) :])
        if self.predicts_v:
            return x / (sigma**2 + 1) - output * (sigma / math.sqrt(sigma**2 + 1))
        return x - output * sigma

    def predict(self, x: Tensor, sigma: float, texts: list[Told]) -> Tensor:
        """Return what the model makes of each row of `texts`: of the parts' pictures, then of every picture."""
        scaled = (x * (1 / math.sqrt(sigma**2 + 1))).to(self.dtype)
        inputs = [self.spread(scaled), scaled][: len(texts)]
        if len({told.hidden.shape[1] for told in texts}) == 1:
            inputs, texts = [torch.cat(inputs)], [Told.join(texts)]
        timestep = torch.tensor([self.table.timestep(sigma)], device=x.device)
        made = [
            self.unet(
                part, timestep, encoder_hidden_states=told.hidden, added_cond_kwargs=told.added, return_dict=False
            )[0]
            for part, told in zip(inputs, texts, strict=True)
        ]
        return torch.cat(made).float()

    def spread(self, x: Tensor) -> Tensor:
        """Return pictures, (batch, …), once for each part of their prompts."""
        images = self.conditioning.images
        return x if images == list(range(len(x))) else x[images]

    def guide(self, prompted: Tensor, negative: Tensor) -> Tensor:
        """Return the negative prompt's prediction for each picture, moved towards those of the prompt's parts."""
        if not self.conditioning.is_composed:
            return torch.lerp(negative, prompted, self.cfg_scale)
        output = negative.clone()
        for row, image, weight in zip(prompted, self.conditioning.images, self.conditioning.weights, strict=True):
            output[image] += (row - negative[image]) * (weight * self.cfg_scale)
        return output

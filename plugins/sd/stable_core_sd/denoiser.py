"""`denoise(x, sigma)` for a real model: scaling, classifier-free guidance, prediction types. It runs no loop."""

from __future__ import annotations

import math

import torch

from stable_core_sd.checkpoint import Checkpoint


class Denoiser:
    """Guess the clean latent in a noisy one, guided by a prompt.

    The prompt and the negative prompt run as one batch when they are equally long, else one after the other. With
    `cfg_scale` 1 the negative prompt has no effect and is left out.

    Source: classifier-free guidance, Ho and Salimans 2022, https://arxiv.org/abs/2207.12598.
    """

    def __init__(
        self, checkpoint: Checkpoint, prompt: torch.Tensor, negative: torch.Tensor, cfg_scale: float, batch_size: int
    ) -> None:
        """Take the two texts as embeddings of shape (1, 77 * chunks, width)."""
        self.unet, self.table = checkpoint.unet, checkpoint.sigma_table
        self.dtype = checkpoint.unet.dtype  # asking a model for it looks at every weight
        self.predicts_v = checkpoint.prediction_type == "v_prediction"
        self.cfg_scale = cfg_scale
        texts = [prompt] if cfg_scale == 1 else [prompt, negative]
        texts = [text.expand(batch_size, -1, -1) for text in texts]
        self.runs = [torch.cat(texts)] if len({text.shape for text in texts}) == 1 else texts
        self.copies = len(texts) // len(self.runs)

    def __call__(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """Return the guess for float32 `x`, (batch, 4, height / 8, width / 8), with noise of strength `sigma`."""
        scaled = (x * (1 / math.sqrt(sigma**2 + 1))).to(self.dtype)
        batch = torch.cat([scaled] * self.copies)
        timestep = torch.tensor([self.table.timestep(sigma)], device=x.device)
        made = [self.unet(batch, timestep, encoder_hidden_states=text, return_dict=False)[0] for text in self.runs]
        output = (made[0] if len(made) == 1 else torch.cat(made)).float()
        if self.cfg_scale != 1:
            prompted, negative = output.chunk(2)
            output = torch.lerp(negative, prompted, self.cfg_scale)
        if self.predicts_v:
            return x / (sigma**2 + 1) - output * (sigma / math.sqrt(sigma**2 + 1))
        return x - output * sigma

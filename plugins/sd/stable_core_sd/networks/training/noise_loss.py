"""How well a UNet guesses the noise in pictures, for a text: the loss of a training. It changes no weight.

Source: Ho et al. 2020, https://arxiv.org/abs/2006.11239; v-prediction: Salimans and Ho 2022, https://arxiv.org/abs/2202.00512.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class NoiseLoss:
    """The mean squared error of the guess at a random time, with random noise."""

    def __init__(self, checkpoint: Any, noise_from: float = 0.0) -> None:
        """Take the share of the noise levels, from the lowest, that are left out."""
        self._unet = checkpoint.unet
        self._predicts_v = checkpoint.prediction_type == "v_prediction"
        self._sigmas = torch.tensor(checkpoint.sigma_table.sigmas)
        self._first = int(noise_from * len(self._sigmas))

    def __call__(
        self, latents: Tensor, context: Tensor, generator: torch.Generator, weight: Tensor | None = None
    ) -> Tensor:
        """Return the loss, a scalar.

        Args:
            latents: clean, of shape (batch, channels, height, width).
            context: of shape (batch, tokens, width).
            generator: on the CPU, so that a training is the same on every machine.
            weight: how much each latent pixel counts, of shape (batch, 1, height, width).
        """
        timesteps = torch.randint(self._first, len(self._sigmas), (len(latents),), generator=generator)
        noise = torch.randn(latents.shape, generator=generator).to(latents.device)
        sigmas = self._sigmas[timesteps].to(latents.device)[:, None, None, None]
        share = (sigmas**2 + 1).rsqrt()  # of the clean latents; that of the noise is sigma times as much
        noisy = share * latents + sigmas * share * noise
        wanted = share * noise - sigmas * share * latents if self._predicts_v else noise
        dtype = self._unet.dtype
        guess = self._unet(
            noisy.to(dtype), timesteps.to(latents.device), encoder_hidden_states=context.to(dtype), return_dict=False
        )[0]
        error = (guess.float() - wanted) ** 2
        return (error if weight is None else error * weight).mean()

"""Improve the decoder alone, on latents that the trained UNet has cleaned: it must draw crisply what the UNet makes.

The encoder, the latents and the UNet stay as they are.
"""

import copy
import math
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler
from torch.nn import functional

from training.nano.autoencoder import SCALING, picture_loss, to_signed
from training.nano.data import PICTURES
from training.nano.denoiser import NOISE, STATE, Denoiser, Examples
from training.nano.parallel import MEETING_SECONDS, Clock, average_weights, learning_rate, update_average

BATCH, PEAK_RATE = 4, 1.5e-3
NOISIEST = 200
"""Latents are cleaned by the UNet from a noise level below this."""
LARGEST_NOISE = 0.15
"""Standard deviation of the noise on unit-variance latents, at most."""
CHECKPOINT_SECONDS = 120


def train_decoder(rank: int, ranks: int, folder: Path, seconds: float, source: str, target: str) -> None:
    """Train the decoder of folder/source for so many seconds and leave the averaged autoencoder in folder/target."""
    model = AutoencoderKL.from_pretrained(folder / source).train().to(memory_format=torch.channels_last)
    average = copy.deepcopy(model)
    model.encoder.requires_grad_(False)
    model.quant_conv.requires_grad_(False)
    examples = Drawings(folder, rank)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.0, betas=(0.9, 0.99), weight_decay=1e-4, fused=True)
    clock, step, saved = Clock(seconds), 0, time.monotonic()
    while (share := clock.share()) < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(share, PEAK_RATE)
        made, error = _train_a_while(model, optimizer, examples)
        total = average_weights(model, made)
        step += total
        update_average(average, model, min(0.999**total, step / (step + 50)))
        if rank == 0:
            psnr = -10 * math.log10(error / 4)
            print(f"decoder {share:.3f} step {step} psnr {psnr:.1f} after {clock.elapsed():.0f} s", flush=True)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                average.save_pretrained(folder / target)
                saved = time.monotonic()
    if rank == 0:
        average.save_pretrained(folder / target)


class Drawings:
    """Random batches of latents, as a sampler would leave them, and the pictures that they stand for."""

    def __init__(self, folder: Path, seed: int) -> None:
        state = torch.load(folder / STATE)["average"]
        self.denoiser = Denoiser(len(state["text_encoder.embeddings.token_embedding.weight"])).eval()
        self.denoiser.load_state_dict(state)
        self.pictures = np.load(folder / PICTURES, mmap_mode="r")
        self.examples = Examples(folder, seed=seed + int(time.time()))
        self.alphas = DDPMScheduler(**NOISE).alphas_cumprod

    @torch.no_grad()
    def batch(self, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Give latents (size, 4, 16, 16), cleaned by the UNet or just noisy, and pictures (size, 3, 128, 128)."""
        chosen, latents, rows = self.examples.batch(size)
        steps = torch.randint(0, NOISIEST, (size,))
        alpha = self.alphas[steps].view(-1, 1, 1, 1)
        noise = torch.randn_like(latents)
        noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
        with torch.autocast("cpu", torch.bfloat16):
            guess = self.denoiser(noisy.contiguous(memory_format=torch.channels_last), steps, rows).float()
        cleaned = (noisy - (1 - alpha).sqrt() * guess) / alpha.sqrt()
        spoiled = latents + torch.rand(size, 1, 1, 1) * LARGEST_NOISE * noise
        given = torch.where(torch.rand(size, 1, 1, 1) < 0.7, cleaned, spoiled)
        return given, to_signed(np.stack([self.pictures[index] for index in chosen]))


def _train_a_while(model: AutoencoderKL, optimizer: torch.optim.Optimizer, examples: Drawings) -> tuple[int, float]:
    started, step, errors = time.monotonic(), 0, 0.0
    while step == 0 or time.monotonic() - started < MEETING_SECONDS:
        latents, wanted = examples.batch(BATCH)
        with torch.autocast("cpu", torch.bfloat16):
            made = model.decode(latents / SCALING).sample
        optimizer.zero_grad(set_to_none=True)
        picture_loss(made.float(), wanted).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step, errors = step + 1, errors + float(functional.mse_loss(made.detach().float(), wanted))
    return step, errors / step

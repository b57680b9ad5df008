"""Improve the decoder alone, on latents that the trained UNet has cleaned: it must draw crisply what the UNet makes.

The encoder, the latents and the UNet stay as they are.
"""

import copy
import math
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional

from training.nano.autoencoder import SCALING, picture_loss, to_signed
from training.nano.data import PICTURES
from training.nano.denoiser import AVERAGE, STATE, Denoiser, Examples, Noise
from training.nano.parallel import Clock, Worker, average_weights, learning_rate, update_average
from training.nano.recording import Step, new_optimizer, record, repeat, set_learning_rate
from training.nano.vocabulary import END

BATCHES = {"cpu": 4, "cuda": 32}
PEAK_RATE = 1.5e-3
NOISIEST = 300
"""Latents are cleaned by the UNet from a noise level below this."""
STRONGEST_GUIDANCE = 6.0
CLEANED = 0.7
"""Share of the latents that the UNet has cleaned; the others are only a little noisy."""
LARGEST_NOISE = 0.15
"""Standard deviation of the noise on unit-variance latents, at most."""
CHECKPOINT_SECONDS = 120


def train_decoder(worker: Worker, folder: Path, seconds: float, source: str, target: str) -> None:
    """Train the decoder of folder/source for so many seconds and leave the averaged autoencoder in folder/target."""
    device = worker.device
    model = AutoencoderKL.from_pretrained(folder / source).train().to(device, memory_format=torch.channels_last)
    average = copy.deepcopy(model)
    model.encoder.requires_grad_(False)
    model.quant_conv.requires_grad_(False)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = new_optimizer(trained, device, decay=1e-4)
    torch.manual_seed(worker.rank + int(time.time()))
    step = record(decoder_step(model, optimizer, Drawings(folder, device), BATCHES[device.type]), device)
    clock, made, saved = Clock(seconds), 0, time.monotonic()
    while (share := clock.share()) < 1.0:
        set_learning_rate(optimizer, learning_rate(share, PEAK_RATE))
        newly_made, error = repeat(step, worker.meeting_seconds)
        total = average_weights(model, newly_made)
        made += total
        update_average(average, model, min(0.999**total, made / (made + 50)))
        if worker.reports:
            psnr = -10 * math.log10(error / 4)
            print(f"decoder {share:.3f} step {made} psnr {psnr:.1f} after {clock.elapsed():.0f} s", flush=True)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                average.save_pretrained(folder / target)
                saved = time.monotonic()
    if worker.reports:
        average.save_pretrained(folder / target)


class Drawings:
    """Random batches of latents, as a sampler would leave them, and the pictures that they stand for."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        state = torch.load(folder / STATE, map_location=device)[AVERAGE]
        self.denoiser = Denoiser(len(state["text_encoder.embeddings.token_embedding.weight"]), device).eval()
        self.denoiser.load_state_dict(state)
        self.pictures = torch.from_numpy(np.load(folder / PICTURES, mmap_mode="c")).to(device)
        self.examples = Examples(folder, device)
        self.levels = Noise(device)

    @torch.no_grad()
    def batch(self, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Give latents (size, 4, 16, 16), cleaned by the UNet or just noisy, and pictures (size, 3, 128, 128)."""
        chosen, latents, rows = self.examples.batch(size)
        noise = torch.randn_like(latents)
        lots = torch.rand(2, size, 1, 1, 1, device=latents.device)
        spoiled = latents + lots[0] * LARGEST_NOISE * noise
        given = torch.where(lots[1] < CLEANED, self._clean(latents, noise, rows), spoiled)
        return given, to_signed(self.pictures[chosen])

    def _clean(self, latents: torch.Tensor, noise: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        # Two steps of DDIM (arXiv 2010.02502), guided as a sampler is: what comes out has a sampler's faults.
        size, device = len(latents), latents.device
        guidance = 1 + torch.rand(size, 1, 1, 1, device=device) * (STRONGEST_GUIDANCE - 1)
        start = torch.randint(1, NOISIEST, (size,), device=device)
        noisy = self.levels.add(latents, noise, start)
        guess = self._guess(noisy, start, rows, guidance)
        cleaned, halfway = self._without(noisy, guess, start), start // 2
        noisy = self.levels.add(cleaned, guess, halfway)
        return self._without(noisy, self._guess(noisy, halfway, rows, guidance), halfway)

    def _guess(
        self, noisy: torch.Tensor, steps: torch.Tensor, rows: torch.Tensor, guidance: torch.Tensor
    ) -> torch.Tensor:
        empty = rows.clone()
        empty[:, 1:] = END
        twice = torch.cat([noisy, noisy]).contiguous(memory_format=torch.channels_last)
        with torch.autocast(noisy.device.type, torch.bfloat16):
            both = self.denoiser(twice, torch.cat([steps, steps]), torch.cat([empty, rows]))
        without, told = both.float().chunk(2)
        return without + guidance * (told - without)

    def _without(self, noisy: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        signal, share = self.levels.shares(steps)
        return (noisy - share * noise) / signal


def decoder_step(model: AutoencoderKL, optimizer: torch.optim.Optimizer, drawings: Drawings, size: int) -> Step:
    """Give the step that trains the decoder on size fresh drawings and returns the mean squared error."""

    def step() -> torch.Tensor:
        latents, wanted = drawings.batch(size)
        with torch.autocast(wanted.device.type, torch.bfloat16):
            made = model.decode(latents / SCALING).sample.float()
        optimizer.zero_grad(set_to_none=True)
        picture_loss(made, wanted, squared=0.0).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return functional.mse_loss(made.detach(), wanted)

    return step

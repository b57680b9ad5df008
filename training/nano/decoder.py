"""Improve the decoder alone, on cached latents with a little noise, so that it also draws crisply what the UNet makes.

The encoder and the latents stay as they are; the UNet may train meanwhile.
"""

import copy
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional

from training.nano.autoencoder import LATENTS, SCALING, picture_loss, to_signed
from training.nano.data import PICTURES
from training.nano.parallel import Clock, average_gradients, learning_rate, update_average

BATCH, PEAK_RATE = 4, 1.5e-3
LARGEST_NOISE = 0.12
"""Standard deviation of the noise on unit-variance latents, at most."""
CHECKPOINT_SECONDS = 120


def train_decoder(
    rank: int,
    ranks: int,
    folder: Path,
    seconds: float,
    source: str,
    target: str,
) -> None:
    """Train the decoder of folder/source for so many seconds and leave the averaged autoencoder in folder/target."""
    model = AutoencoderKL.from_pretrained(folder / source).train().to(memory_format=torch.channels_last)
    model.encoder.requires_grad_(False)
    model.quant_conv.requires_grad_(False)
    average = copy.deepcopy(model)
    pictures, latents = np.load(folder / PICTURES, mmap_mode="r"), np.load(folder / LATENTS, mmap_mode="r")
    rng = np.random.default_rng([rank, int(time.time())])
    torch.manual_seed(int(rng.integers(2**31)))
    trained = [*model.decoder.parameters(), *model.post_quant_conv.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=0.0, betas=(0.9, 0.99), weight_decay=1e-4)
    clock, step, saved = Clock(seconds), 0, time.monotonic()
    while (share := clock.share()) < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(share, PEAK_RATE)
        chosen = rng.integers(len(latents), size=BATCH)
        wanted = to_signed(np.stack([pictures[index] for index in chosen]))
        given = torch.from_numpy(np.stack([latents[index] for index in chosen])).float()
        given = given + torch.randn_like(given) * torch.rand(BATCH, 1, 1, 1) * LARGEST_NOISE
        with torch.autocast("cpu", torch.bfloat16):
            made = model.decode(given / SCALING).sample
        loss = picture_loss(made.float(), wanted)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(trained)
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        update_average(average, model, min(0.998, step / (step + 10)))
        step += 1
        if rank == 0 and step % 50 == 0:
            psnr = -10 * torch.log10(functional.mse_loss(made.float(), wanted) / 4)
            print(
                f"decoder {share:.3f} step {step} loss {loss:.4f} psnr {psnr:.1f} after {clock.elapsed():.0f} s",
                flush=True,
            )
        if rank == 0 and (time.monotonic() - saved > CHECKPOINT_SECONDS):
            average.save_pretrained(folder / target)
            saved = time.monotonic()
    if rank == 0:
        average.save_pretrained(folder / target)

"""Train the nano model's AutoencoderKL: first both halves, later the decoder alone on cached latents.

The encoder is frozen after the first stage, so that the denoiser and the decoder can be trained independently.
"""

import copy
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional

from training.nano.data import PICTURES
from training.nano.parallel import Clock, Worker, average_gradients, learning_rate, update_average
from training.nano.recording import new_optimizer, set_learning_rate

LATENTS = "latents.npy"
CHANNELS = (16, 32, 64, 64)
SCALING = 0.18215
KL_WEIGHT = 2e-4
CROPPED = 0.45
"""Share of the first stage that sees crops; whole pictures come after, since their norms differ."""
SIZES = {"cpu": (8, 3), "cuda": (128, 48)}
"""Crops and whole pictures in a batch, by the kind of device."""
ENCODED_AT_ONCE = {"cpu": 50, "cuda": 500}
CHECKPOINT_SECONDS = 120


def new_autoencoder() -> AutoencoderKL:
    """Build the untrained autoencoder; one group per norm, since many groups hide flat colours."""
    blocks = len(CHANNELS)
    model = AutoencoderKL(
        block_out_channels=CHANNELS,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=1,
        sample_size=128,
        scaling_factor=SCALING,
    )
    with torch.no_grad():
        model.quant_conv.bias[4:] = -6.0
    return model


def edges(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the differences between neighbouring pixels, down and across, of (B, C, H, W)."""
    return picture[:, :, 1:] - picture[:, :, :-1], picture[:, :, :, 1:] - picture[:, :, :, :-1]


def picture_loss(made: torch.Tensor, wanted: torch.Tensor, squared: float = 2.0) -> torch.Tensor:
    """Measure how far two batches of pictures (B, 3, H, W) are apart in colour, in edges and when seen from afar.

    The squared error shows the way from afar; without it an edge whose place is in doubt is drawn crisply.
    """
    loss = functional.l1_loss(made, wanted) + squared * functional.mse_loss(made, wanted)
    for made_edge, wanted_edge in zip(edges(made), edges(wanted), strict=True):
        loss = loss + 0.5 * functional.l1_loss(made_edge, wanted_edge)
    return loss + functional.l1_loss(functional.avg_pool2d(made, 4), functional.avg_pool2d(wanted, 4))


def picture_batch(pictures: np.ndarray, size: int, crop: int, rng: np.random.Generator) -> np.ndarray:
    """Take crops of random pictures, the liveliest of three each, as (size, crop, crop, 3) uint8."""
    side = pictures.shape[1]
    batch = np.empty((size, crop, crop, 3), np.uint8)
    for row, index in enumerate(rng.integers(len(pictures), size=size)):
        corners = rng.integers(side - crop + 1, size=(3 if crop < side else 1, 2))
        crops = [pictures[index, y : y + crop, x : x + crop] for y, x in corners]
        batch[row] = max(crops, key=lambda candidate: candidate[::3, ::3, 1].std())
    return batch


def to_signed(pictures: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Turn (B, H, W, 3) uint8 into (B, 3, H, W) float in -1 to 1, channels last in memory."""
    return torch.as_tensor(pictures).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def train_autoencoder(worker: Worker, folder: Path, seconds: float) -> None:
    """Train both halves from nothing and leave the averaged model in folder/vae."""
    torch.manual_seed(0)
    model = new_autoencoder().train().to(worker.device, memory_format=torch.channels_last)
    average = copy.deepcopy(model)
    rng = np.random.default_rng(worker.rank)
    torch.manual_seed(worker.rank)
    pictures = np.load(folder / PICTURES, mmap_mode="r")
    optimizer = new_optimizer(model.parameters(), worker.device, decay=1e-4)
    crops, whole = SIZES[worker.device.type]
    clock, step, saved = Clock(seconds), 0, time.monotonic()
    while (share := clock.share()) < 1.0:
        set_learning_rate(optimizer, learning_rate(share, 2e-3))
        batch = picture_batch(pictures, *((crops, 64) if share < CROPPED else (whole, 128)), rng)
        wanted = to_signed(torch.from_numpy(batch).to(worker.device))
        with torch.autocast(worker.device.type, torch.bfloat16):
            latents = model.encode(wanted).latent_dist
            made = model.decode(latents.sample()).sample
        loss = picture_loss(made.float(), wanted)
        kl = 0.5 * (latents.mean.float() ** 2 + latents.var.float() - 1.0 - latents.logvar.float()).mean()
        optimizer.zero_grad(set_to_none=True)
        (loss + KL_WEIGHT * kl).backward()
        average_gradients(model.parameters())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        update_average(average, model, min(0.995, step / (step + 10)))
        step += 1
        if worker.reports and step % 50 == 0:
            psnr = -10 * torch.log10(functional.mse_loss(made.float(), wanted) / 4)
            print(f"autoencoder {share:.3f} step {step} loss {loss:.4f} kl {kl:.2f} psnr {psnr:.1f}", flush=True)
        if worker.reports and time.monotonic() - saved > CHECKPOINT_SECONDS:
            average.save_pretrained(folder / "vae")
            saved = time.monotonic()
    if worker.reports:
        average.save_pretrained(folder / "vae")


@torch.no_grad()
def normalise_latents(model: AutoencoderKL, pictures: np.ndarray) -> None:
    """Fold each latent channel's mean and spread into the quant convolutions: scaled latents get unit variance."""
    means = [
        model.encode(to_signed(np.ascontiguousarray(pictures[at : at + 20]))).latent_dist.mean
        for at in range(0, min(len(pictures), 1000), 20)
    ]
    latents = torch.cat(means)
    mean, spread = latents.mean((0, 2, 3)), latents.std((0, 2, 3)) * SCALING
    quant, post = model.quant_conv, model.post_quant_conv
    quant.weight[:4] /= spread[:, None, None, None]
    quant.bias[:4] = (quant.bias[:4] - mean) / spread
    quant.bias[4:] -= 2 * torch.log(spread)
    post.bias += (post.weight[:, :, 0, 0] * mean).sum(1)
    post.weight *= spread[None, :, None, None]


@torch.no_grad()
def encode_pictures(worker: Worker, folder: Path, count: int) -> None:
    """Write the scaled mean latents of the first count pictures to folder/latents.npy, (count, 4, 16, 16) float16."""
    model = AutoencoderKL.from_pretrained(folder / "vae").eval().to(worker.device, memory_format=torch.channels_last)
    pictures = np.load(folder / PICTURES, mmap_mode="c")
    latents = np.load(folder / LATENTS, mmap_mode="r+")
    size = ENCODED_AT_ONCE[worker.device.type]
    for start in range(worker.rank * size, count, worker.ranks * size):
        batch = torch.from_numpy(pictures[start : min(start + size, count)]).to(worker.device)
        with torch.autocast(worker.device.type, torch.bfloat16):
            mean = model.encode(to_signed(batch)).latent_dist.mean
        latents[start : start + len(batch)] = (mean.float() * SCALING).cpu().numpy()
    latents.flush()


def finish_encoder(folder: Path) -> None:
    """Normalise the latents of the trained autoencoder in place."""
    model = AutoencoderKL.from_pretrained(folder / "vae").eval()
    normalise_latents(model, np.load(folder / PICTURES, mmap_mode="r"))
    model.save_pretrained(folder / "vae")


def reserve_latents(folder: Path, count: int) -> None:
    """Make room for count latents in folder/latents.npy."""
    np.lib.format.open_memmap(folder / LATENTS, mode="w+", dtype=np.float16, shape=(count, 4, 16, 16)).flush()

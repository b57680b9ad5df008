"""Train the nano model's text encoder and UNet together on cached latents.

It reads only latents and captions, never pictures, so it can run while the decoder is still being improved.
"""

import copy
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training.nano.autoencoder import LATENTS
from training.nano.captions import caption
from training.nano.data import scene_number
from training.nano.parallel import Clock, Worker, average_weights, learning_rate, update_average
from training.nano.recording import Step, new_optimizer, record, repeat, set_learning_rate
from training.nano.vocabulary import END, START, Vocabulary

CAPTIONS = "captions.npy"
CAPTION_LENGTH = 32
CAPTIONS_PER_PICTURE = 6
CONTEXT_LENGTH = 77
CPU = torch.device("cpu")
WIDTH = 96
LEGIBLE = 300
"""Below this noise level a picture can be read through its noise."""
MISNAMED = 0.25
"""Share of legible pictures that are trained with another picture's caption."""
AVERAGE, SLOW_AVERAGE = "average", "slow average"
AVERAGE_DECAYS = {AVERAGE: 0.9995, SLOW_AVERAGE: 0.9999}
"""Decay per step of the running averages of the weights: one for use, one that stays nearer to where it came from."""
STATE = "denoiser.pt"
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
CHECKPOINT_SECONDS = 120
CAPTION_CHUNK = 500


@dataclass(frozen=True)
class Pace:
    """Examples per step, and the highest learning rates of a new model and of one that is trained further."""

    batch: int
    rate: float
    further_rate: float


PACES = {"cpu": Pace(24, 1e-3, 4e-4), "cuda": Pace(256, 2e-3, 9e-4)}
"""The pace by the kind of device; the rates grow with about the square root of the batch."""


def new_text_encoder(vocabulary_size: int, end_token: int) -> CLIPTextModel:
    """Build the untrained text encoder; padding is the end token, as in Stable Diffusion."""
    config = CLIPTextConfig(
        vocab_size=vocabulary_size,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT_LENGTH,
        hidden_act="quick_gelu",
        projection_dim=WIDTH,
        bos_token_id=end_token - 1,
        eos_token_id=end_token,
        pad_token_id=end_token,
    )
    return CLIPTextModel(config)


def new_unet() -> UNet2DConditionModel:
    """Build the untrained UNet of 6.7 million parameters."""
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(64, 128, 128),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )


class Denoiser(torch.nn.Module):
    """The text encoder and the UNet as one thing to train."""

    def __init__(self, vocabulary_size: int, device: torch.device = CPU) -> None:
        super().__init__()
        self.text_encoder = new_text_encoder(vocabulary_size, END)
        self.unet = new_unet().to(memory_format=torch.channels_last)
        if device.type == "cpu":  # the fused kernel's backward pass is slow there
            self.text_encoder.set_attn_implementation("eager")
            self.unet.set_attn_processor(AttnProcessor())
        self.to(device)

    def forward(self, noisy: torch.Tensor, steps: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Guess the noise in latents (B, 4, 16, 16) at steps (B,), given caption rows (B, 77)."""
        states = self.text_encoder(rows).last_hidden_state
        return self.unet(noisy, steps, states).sample


def encode_captions(folder: Path, tokenizer_folder: Path, count: int, processes: int) -> None:
    """Write several captions for each of the first count scenes to folder/captions.npy, (count, several, 32) uint8."""
    starts = range(0, count, CAPTION_CHUNK)
    chunks = [(tokenizer_folder, range(start, min(start + CAPTION_CHUNK, count))) for start in starts]
    with Pool(processes) as pool:
        np.save(folder / CAPTIONS, np.concatenate(pool.map(_caption_rows, chunks, chunksize=1)))


@cache
def _vocabulary(tokenizer_folder: Path) -> Vocabulary:
    return Vocabulary(CLIPTokenizer.from_pretrained(tokenizer_folder))


def _caption_rows(chunk: tuple[Path, Iterable[int]]) -> np.ndarray:
    vocabulary, rows = _vocabulary(chunk[0]), []
    for index in chunk[1]:
        scene, rng = scene_number(index)[0], random.Random(f"captions {index}")
        rows.append(vocabulary.encode((caption(scene, rng) for _ in range(CAPTIONS_PER_PICTURE)), CAPTION_LENGTH))
    return np.stack(rows)


def sample_steps(count: int, device: torch.device = CPU) -> torch.Tensor:
    """Draw noise levels: half of them anywhere, a quarter from 650 up, a quarter from 850 up.

    A 16x16 latent shows its mean colour through the noise even at step 999; without this the UNet reads the background
    from the noise and not from the text. Where things stand is decided above 850.
    """
    choice = torch.randint(4, (count,), device=device)
    lowest = 650 * (choice == 2) + 850 * (choice == 3)
    return (lowest + torch.rand(count, device=device) * (1000 - lowest)).long()


def misname(rows: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """Swap some captions (B, 77) for their neighbours' where the noise levels (B,) leave the picture legible.

    There the UNet learns to believe the picture and not the words; so guidance, which exaggerates what the words
    change, bends nothing that is drawn already: not in a sampler's last steps, not when a picture is changed a little.
    """
    wrong = (steps < LEGIBLE) & (torch.rand(len(rows), device=rows.device) < MISNAMED)
    return torch.where(wrong[:, None], rows.roll(1, 0), rows)


def step_weights(alphas: torch.Tensor) -> torch.Tensor:
    """Weigh each noise level: min-SNR-5 (arXiv 2303.09556), and more for levels that are nearly pure noise."""
    snr = alphas / (1 - alphas)
    return (5.0 / snr).clamp(max=1.0) * torch.where(snr < 1, (snr**-0.5).clamp(max=8.0), torch.ones_like(snr))


class Examples:
    """Random batches of latents and caption rows, held on the device."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.latents = torch.from_numpy(np.load(folder / LATENTS)).to(device)
        self.captions = torch.from_numpy(np.load(folder / CAPTIONS)).to(device)
        self.device = device

    def batch(self, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Give indices (size,), latents (size, 4, 16, 16) and rows (size, 77); one caption in ten is empty."""
        chosen = torch.randint(len(self.latents), (size,), device=self.device)
        which = torch.randint(self.captions.shape[1], (size,), device=self.device)
        rows = torch.full((size, CONTEXT_LENGTH), END, device=self.device)
        rows[:, :CAPTION_LENGTH] = self.captions[chosen, which].long()
        empty = torch.rand(size, 1, device=self.device) < 0.1
        rows = rows.masked_fill(empty, END)
        rows[:, 0] = START
        return chosen, self.latents[chosen].float(), rows


class Noise:
    """Stable Diffusion's noise levels on a device."""

    def __init__(self, device: torch.device) -> None:
        self.alphas = DDPMScheduler(**NOISE).alphas_cumprod.to(device)

    def add(self, latents: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """Mix latents and noise (B, 4, 16, 16) at steps (B,), channels last in memory."""
        signal, noisy = self.shares(steps)
        return (signal * latents + noisy * noise).contiguous(memory_format=torch.channels_last)

    def shares(self, steps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the shares of signal and of noise at steps (B,), each (B, 1, 1, 1)."""
        alphas = self.alphas[steps].view(-1, 1, 1, 1)
        return alphas.sqrt(), (1 - alphas).sqrt()


def train_denoiser(worker: Worker, folder: Path, rows: int, seconds: float, start: Path | None) -> None:
    """Train for so many seconds, going on from folder/denoiser.pt if there is one, else from start if given.

    Leaves the averaged weights in folder/denoiser.pt under the names of AVERAGE_DECAYS.
    """
    torch.manual_seed(0)
    device = worker.device
    model = Denoiser(rows, device)
    if start is not None:
        model.load_state_dict(torch.load(start, map_location=device)[AVERAGE])
    averages = {name: copy.deepcopy(model) for name in AVERAGE_DECAYS}
    optimizer = new_optimizer(model.parameters(), device, decay=0.01)
    clock, made = Clock(seconds), 0
    if (folder / STATE).exists():
        state = torch.load(folder / STATE, map_location=device)
        for name, module in ({"model": model, "optimizer": optimizer} | averages).items():
            module.load_state_dict(state[name])
        clock.spent, made = state["spent"], state["step"]
    torch.manual_seed(1000 * made + worker.rank)
    pace = PACES[device.type]
    step = record(denoiser_step(model, optimizer, Examples(folder, device), pace.batch), device)
    saved = time.monotonic()
    while (share := clock.share()) < 1.0:
        set_learning_rate(optimizer, learning_rate(share, pace.rate if start is None else pace.further_rate))
        newly_made, loss = repeat(step, worker.meeting_seconds)
        total = average_weights(model, newly_made)
        made += total
        for name, average in averages.items():
            update_average(average, model, min(AVERAGE_DECAYS[name] ** total, made / (made + 100)))
        if worker.reports:
            print(f"denoiser {share:.3f} step {made} loss {loss:.4f} after {clock.elapsed():.0f} s", flush=True)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                save_state(folder / STATE, model, averages, optimizer, clock, made)
                saved = time.monotonic()
    if worker.reports:
        save_state(folder / STATE, model, averages, optimizer, clock, made)


def denoiser_step(model: Denoiser, optimizer: torch.optim.Optimizer, examples: Examples, size: int) -> Step:
    """Give the step that trains the model on size fresh examples and returns the loss."""
    levels = Noise(examples.device)

    def step() -> torch.Tensor:
        _, latents, texts = examples.batch(size)
        steps = sample_steps(size, examples.device)
        texts = misname(texts, steps)
        noise = torch.randn_like(latents)
        with torch.autocast(examples.device.type, torch.bfloat16):
            guess = model(levels.add(latents, noise, steps), steps, texts)
        weights = step_weights(levels.alphas[steps])
        loss = ((guess.float() - noise).square().mean((1, 2, 3)) * weights).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    return step


def save_state(
    path: Path,
    model: Denoiser,
    averages: dict[str, Denoiser],
    optimizer: torch.optim.Optimizer,
    clock: Clock,
    made: int,
) -> None:
    """Write everything needed to go on, whole or not at all."""
    unfinished = path.with_suffix(".tmp")
    state = {name: average.state_dict() for name, average in averages.items()}
    state |= {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({**state, "spent": clock.elapsed(), "step": made}, unfinished)
    unfinished.replace(path)

"""Train the nano model's text encoder and UNet together on cached latents.

It reads only latents and captions, never pictures, so it can run while the decoder is still being improved.
"""

import copy
import random
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training.nano.autoencoder import LATENTS
from training.nano.captions import caption
from training.nano.data import scene_number
from training.nano.parallel import MEETING_SECONDS, Clock, average_weights, learning_rate, update_average
from training.nano.vocabulary import END, START, Vocabulary

CAPTIONS = "captions.npy"
CAPTION_LENGTH = 32
CAPTIONS_PER_PICTURE = 6
CONTEXT_LENGTH = 77
WIDTH = 96
BATCH, PEAK_RATE = 24, 1e-3
FURTHER_RATE = 4e-4
"""The highest learning rate of a model that is trained further."""
AVERAGE_DECAY = 0.9995
"""Decay per step of the running average of the weights."""
STATE = "denoiser.pt"
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
CHECKPOINT_SECONDS = 120


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
    config._attn_implementation = "eager"  # the fused kernel's backward pass is slow on CPUs
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

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__()
        self.text_encoder = new_text_encoder(vocabulary_size, END)
        self.unet = new_unet().to(memory_format=torch.channels_last)
        self.unet.set_attn_processor(AttnProcessor())

    def forward(self, noisy: torch.Tensor, steps: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Guess the noise in latents (B, 4, 16, 16) at steps (B,), given caption rows (B, 77)."""
        states = self.text_encoder(rows).last_hidden_state
        return self.unet(noisy, steps, states).sample


def encode_captions(folder: Path, tokenizer: CLIPTokenizer, count: int) -> Vocabulary:
    """Write several captions for each of the first count scenes to folder/captions.npy, (count, several, 32) uint8."""
    vocabulary, path = Vocabulary(tokenizer), folder / CAPTIONS
    rows = np.empty((count, CAPTIONS_PER_PICTURE, CAPTION_LENGTH), np.uint8)
    for index in range(count):
        scene, rng = scene_number(index)[0], random.Random(f"captions {index}")
        rows[index] = vocabulary.encode((caption(scene, rng) for _ in range(CAPTIONS_PER_PICTURE)), CAPTION_LENGTH)
    np.save(path, rows)
    return vocabulary


def sample_steps(count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw noise levels: half of them anywhere, a quarter from 650 up, a quarter from 850 up.

    A 16x16 latent shows its mean colour through the noise even at step 999; without this the UNet reads the background
    from the noise and not from the text. Where things stand is decided above 850.
    """
    lowest = torch.tensor((0, 0, 650, 850))[torch.randint(4, (count,), generator=generator)]
    return (lowest + torch.rand(count, generator=generator) * (1000 - lowest)).long()


def step_weights(alphas: torch.Tensor) -> torch.Tensor:
    """Weigh each noise level: min-SNR-5 (arXiv 2303.09556), and more for levels that are nearly pure noise."""
    snr = alphas / (1 - alphas)
    return (5.0 / snr).clamp(max=1.0) * torch.where(snr < 1, (snr**-0.5).clamp(max=8.0), torch.ones_like(snr))


class Examples:
    """Random batches of latents and caption rows."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.latents = torch.from_numpy(np.load(folder / LATENTS))
        self.captions = torch.from_numpy(np.load(folder / CAPTIONS))
        self.generator = torch.Generator().manual_seed(seed)

    def batch(self, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Give indices (size,), latents (size, 4, 16, 16) and rows (size, 77); one caption in ten is empty."""
        chosen = torch.randint(len(self.latents), (size,), generator=self.generator)
        which = torch.randint(self.captions.shape[1], (size,), generator=self.generator)
        rows = torch.full((size, CONTEXT_LENGTH), END)
        rows[:, :CAPTION_LENGTH] = self.captions[chosen, which].long()
        empty = torch.rand(size, generator=self.generator) < 0.1
        rows[empty, 1:] = END
        rows[:, 0] = START
        return chosen, self.latents[chosen].float(), rows


def train_denoiser(rank: int, ranks: int, folder: Path, rows: int, seconds: float, start: Path | None) -> None:
    """Train for so many seconds, going on from folder/denoiser.pt if there is one, else from start if given.

    Leaves the averaged weights in folder/denoiser.pt under "average".
    """
    torch.manual_seed(0)
    model = Denoiser(rows)
    if start is not None:
        model.load_state_dict(torch.load(start)["average"])
    average = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.99), fused=True)
    clock, step = Clock(seconds), 0
    if (folder / STATE).exists():
        state = torch.load(folder / STATE)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        clock.spent, step = state["spent"], state["step"]
    examples = Examples(folder, seed=1000 * step + rank)
    peak_rate = PEAK_RATE if start is None else FURTHER_RATE
    saved = time.monotonic()
    while (share := clock.share()) < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(share, peak_rate)
        made, loss = train_a_while(model, optimizer, examples)
        total = average_weights(model, made)
        step += total
        update_average(average, model, min(AVERAGE_DECAY**total, step / (step + 100)))
        if rank == 0:
            print(f"denoiser {share:.3f} step {step} loss {loss:.4f} after {clock.elapsed():.0f} s", flush=True)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                save_state(folder / STATE, model, average, optimizer, clock, step)
                saved = time.monotonic()
    if rank == 0:
        save_state(folder / STATE, model, average, optimizer, clock, step)


def train_a_while(model: Denoiser, optimizer: torch.optim.Optimizer, examples: Examples) -> tuple[int, float]:
    """Train alone until it is time to meet the other processes; give the number of steps and the mean loss."""
    alphas = DDPMScheduler(**NOISE).alphas_cumprod
    started, step, losses = time.monotonic(), 0, 0.0
    while step == 0 or time.monotonic() - started < MEETING_SECONDS:
        _, latents, texts = examples.batch(BATCH)
        steps = sample_steps(BATCH, examples.generator)
        noise = torch.randn(latents.shape, generator=examples.generator)
        alpha = alphas[steps]
        noisy = alpha.sqrt().view(-1, 1, 1, 1) * latents + (1 - alpha).sqrt().view(-1, 1, 1, 1) * noise
        with torch.autocast("cpu", torch.bfloat16):
            guess = model(noisy.contiguous(memory_format=torch.channels_last), steps, texts)
        loss = ((guess.float() - noise).square().mean((1, 2, 3)) * step_weights(alpha)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step, losses = step + 1, losses + float(loss.detach())
    return step, losses / step


def save_state(
    path: Path, model: Denoiser, average: Denoiser, optimizer: torch.optim.Optimizer, clock: Clock, step: int
) -> None:
    """Write everything needed to go on, whole or not at all."""
    unfinished = path.with_suffix(".tmp")
    state = {"model": model.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({**state, "spent": clock.elapsed(), "step": step}, unfinished)
    unfinished.replace(path)

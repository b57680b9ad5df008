"""A checkpoint, loaded: the three models, the tokenizer and facts about them. The layout of its files is elsewhere."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from stable_core.sdk import InvalidParams
from stable_core_sd import model_classes, preview, single_file
from stable_core_sd.clip import ClipTextModel
from stable_core_sd.diffusers_folder import read_folder, read_json
from stable_core_sd.schedules import SigmaTable, training_betas
from stable_core_sd.tokenizer import ClipTokenizer
from stable_core_sd.weights import Part, fill_model

BUNDLED_TOKENIZER = Path(__file__).parent / "models" / "nano" / "tokenizer"
"""CLIP's tokenizer is the same for all of Stable Diffusion 1.x."""

PROBE_SIDE = 24


@dataclass
class Checkpoint:
    """Everything one run needs, on its device."""

    path: Path
    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: ClipTokenizer
    sigma_table: SigmaTable
    prediction_type: str
    device: torch.device
    _hashing: threading.Thread | None = None
    _hash: str = ""

    @property
    def name(self) -> str:
        """Return the file's or folder's name without its ending: `Model` in the generation data."""
        return self.path.name if self.path.is_dir() else self.path.stem

    @property
    def factor(self) -> int:
        """Return how many pixels one latent pixel is wide: 8."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def native_size(self) -> int:
        """Return the side of the pictures it was trained on, in pixels."""
        return int(self.unet.config.sample_size) * self.factor

    @property
    def short_hash(self) -> str | None:
        """Return the first 10 digits of the SHA-256 of a single file; folders have none."""
        if self._hashing:
            self._hashing.join()
        return self._hash[:10] or None

    @cached_property
    def rgb_factors(self) -> torch.Tensor:
        """Return the matrix for previews, found by decoding a few smooth random colours once."""
        generator = torch.Generator().manual_seed(0)
        coarse = torch.randn(1, self.unet.config.in_channels, 6, 6, generator=generator)
        probe = torch.nn.functional.interpolate(coarse, size=PROBE_SIDE, mode="bicubic")
        return preview.fit_rgb_factors(probe, self.decode(probe.to(self.device)))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return pixels in about -1..1, of shape (batch, 3, height, width), for clean latents.

        Where 16 bits are too few for the VAE, it is switched to 32 for good and the latents are decoded again.
        """
        scaled = latents / self.vae.config.scaling_factor
        pixels: torch.Tensor = self.vae.decode(scaled.to(self.vae.dtype), return_dict=False)[0]
        if self.vae.dtype != torch.float32 and not pixels.isfinite().all():
            self.vae.float()
            return self.decode(latents)
        return pixels.float()

    def start_hashing(self) -> None:
        """Find the hash of a single file while the first picture is made."""

        def find_hash() -> None:
            with self.path.open("rb") as file:
                self._hash = hashlib.file_digest(file, "sha256").hexdigest()

        if self.path.is_file():
            self._hashing = threading.Thread(target=find_hash, daemon=True)
            self._hashing.start()


def load_checkpoint(path: Path, device: torch.device, dtype: torch.dtype) -> Checkpoint:
    """Read a diffusers folder or a single file.

    Raises:
        InvalidParams: it is no Stable Diffusion 1.x checkpoint, or cut off.
    """
    parts = read_folder(path) if path.is_dir() else single_file.read_single_file(path)
    scheduler = read_json((path if path.is_dir() else single_file.SD15) / "scheduler" / "scheduler_config.json")
    check_widths(path.name, parts)
    vae_dtype = torch.float32 if device.type == "mps" else dtype
    checkpoint = Checkpoint(
        path=path,
        unet=fill_model(
            lambda: model_classes.UNet2DConditionModel.from_config(parts["unet"].config), parts["unet"], device, dtype
        ),
        vae=fill_model(
            lambda: model_classes.AutoencoderKL.from_config(parts["vae"].config), parts["vae"], device, vae_dtype
        ),
        text_encoder=fill_model(
            lambda: ClipTextModel(parts["text_encoder"].config), parts["text_encoder"], device, dtype
        ),
        tokenizer=ClipTokenizer(path / "tokenizer" if (path / "tokenizer").is_dir() else BUNDLED_TOKENIZER),
        sigma_table=read_sigma_table(scheduler),
        prediction_type=scheduler.get("prediction_type", "epsilon"),
        device=device,
    )
    checkpoint.start_hashing()
    return checkpoint


def read_sigma_table(scheduler: dict[str, Any]) -> SigmaTable:
    """Return the noise levels that a diffusers scheduler config describes.

    Raises:
        InvalidParams: they are of an unknown kind.
    """
    try:
        betas = scheduler.get("trained_betas") or training_betas(
            scheduler.get("beta_schedule", "scaled_linear"),
            scheduler.get("beta_start", 0.00085),
            scheduler.get("beta_end", 0.012),
            scheduler.get("num_train_timesteps", 1000),
        )
    except ValueError as error:
        raise InvalidParams(f"{error}.", "Choose a Stable Diffusion 1.x checkpoint.") from None
    return SigmaTable(betas)


def check_widths(name: str, parts: dict[str, Part]) -> None:
    """Make sure that the UNet reads what the text encoder writes and takes latents of the VAE.

    Raises:
        InvalidParams: it does not.
    """
    unet, vae, text = parts["unet"].config, parts["vae"].config, parts["text_encoder"].config
    if unet["cross_attention_dim"] != text["hidden_size"] or unet["in_channels"] != vae["latent_channels"]:
        raise InvalidParams(
            f"{name}: its UNet does not fit its text encoder or VAE.", "Choose a text-to-image checkpoint."
        )

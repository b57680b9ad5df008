"""A checkpoint, loaded: the three models, the tokenizer and facts about them. The layout of its files is elsewhere."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch

from stable_core.sdk import InvalidParams
from stable_core_sd import hashes, model_classes, preview, single_file
from stable_core_sd.borrowed import Hooks
from stable_core_sd.clip import ClipTextModel, Placed
from stable_core_sd.diffusers_folder import read_folder
from stable_core_sd.memory import MemoryPlan
from stable_core_sd.model_kinds import SD1, SD2, TASKS, Kind
from stable_core_sd.recent import Recent
from stable_core_sd.schedules import SigmaTable, training_betas
from stable_core_sd.text_encoding import EncodedRows, TextEncoder, encode_rows
from stable_core_sd.tokenizer import ClipTokenizer
from stable_core_sd.unet_sizes import resize_after_upsampling
from stable_core_sd.vae_file import read_vae
from stable_core_sd.weights import Part, fill_model

BUNDLED_TOKENIZER = Path(__file__).parent / "models" / "nano" / "tokenizer"
"""CLIP's tokenizer is the same for all of Stable Diffusion."""

PROBE_SIDE = 24

NEEDS_RANGE = "16 bits are too few for the VAE: that step was done again in 32, which it keeps"


@dataclass
class Checkpoint:
    """Everything one run needs, on its device."""

    path: Path
    unet: Any
    vae: Any
    text_encoders: tuple[TextEncoder, ...]
    tokenizer: ClipTokenizer
    sigma_table: SigmaTable
    prediction_type: str
    device: torch.device
    kind: Kind = SD1
    vae_config: dict[str, Any] = field(default_factory=dict)
    """Describes the VAE inside the checkpoint."""
    vae_path: Path | None = None
    """The file that the VAE comes from, or None for the one inside the checkpoint."""
    encodings: Recent[Any] = field(default_factory=lambda: Recent(16))
    """What was made of prompts lately."""
    _hashing: threading.Thread | None = None
    _hash: str = ""

    @property
    def name(self) -> str:
        """Return the file's or folder's name without its ending: `Model` in the generation data."""
        return self.path.name if self.path.is_dir() else self.path.stem

    def __post_init__(self) -> None:
        """Keep the VAE that came with the checkpoint, if one did, so that another can stand in for it."""
        self.baked_vae = self.vae
        self.plan = MemoryPlan()
        self.hooks = Hooks()
        self.retries = True
        self.notes: list[str] = []

    @property
    def text_encoder(self) -> ClipTextModel:
        """Return the first text encoder; older kinds have no other."""
        return self.text_encoders[0].model

    @property
    def text_widths(self) -> list[int]:
        """Return the width of each text encoder."""
        return [one.model.embeddings["token_embedding"].weight.shape[1] for one in self.text_encoders]

    @property
    def latent_channels(self) -> int:
        """Return how many channels a latent has: 4."""
        return int(self.vae.config.latent_channels)

    @property
    def task(self) -> str:
        """Return what its UNet was trained for: `text`, `inpainting` or `instruct-pix2pix`.

        The last two take more channels beside the latent: a mask and a masked picture, or a picture to change.
        """
        return TASKS[int(self.unet.config.in_channels) - self.latent_channels]

    @property
    def factor(self) -> int:
        """Return how many pixels one latent pixel is wide: 8."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def native_size(self) -> int:
        """Return the side of the pictures it was trained on, in pixels."""
        side = 96 if self.kind is SD2 and self.prediction_type == "v_prediction" else self.unet.config.sample_size
        return int(side) * self.factor

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
        coarse = torch.randn(1, self.latent_channels, 6, 6, generator=generator)
        probe = torch.nn.functional.interpolate(coarse, size=PROBE_SIDE, mode="bicubic")
        return preview.fit_rgb_factors(probe, self.decode(probe.to(self.device)))

    def encode_tokens(
        self, rows: Sequence[Sequence[int]], clip_skip: int = 1, placed: Sequence[Placed] = ()
    ) -> EncodedRows:
        """Return what the text encoders make of rows of 77 tokens: start, 75 of a text, filled up with end tokens."""
        return encode_rows(self.text_encoders, rows, self.tokenizer.end_token, clip_skip, placed, self.device)

    def encode(self, pixels: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return a latent for pixels in -1..1 of shape (batch, 3, height, width); as A1111, a random one of the likely.

        Without a generator the likeliest latent is returned.

        Raises:
            FloatingPointError: the VAE is broken.
        """

        def encode() -> tuple[torch.Tensor, torch.Tensor]:
            likely = self.vae.encode(pixels.to(self.device, self.vae.dtype)).latent_dist
            return likely.mean, likely.std

        mean, spread = self._in_range(encode)
        if generator is not None:
            noise = torch.randn(mean.shape, generator=generator, device=generator.device)
            mean = mean + spread * noise.to(mean.device)
        return mean * self.vae.config.scaling_factor

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return pixels in about -1..1, of shape (batch, 3, height, width), for clean latents.

        Raises:
            FloatingPointError: the VAE is broken.
        """
        scaled = latents / self.vae.config.scaling_factor
        return self._in_range(lambda: self.vae.decode(scaled.to(self.vae.dtype), return_dict=False))[0]

    def _in_range(self, run: Callable[[], tuple[torch.Tensor, ...]]) -> tuple[torch.Tensor, ...]:
        """Return what the VAE makes; where 16 bits are too few for it, it is switched to 32 for good and runs again."""
        self._fetch_vae()
        made = run()
        if self.vae.dtype != torch.float32 and not made[0].isfinite().all():
            self._widen_vae()
            made = run()
        if not made[0].isfinite().all():
            raise FloatingPointError("The VAE made values that are no numbers; choose another one")
        return tuple(tensor.float() for tensor in made)

    def _widen_vae(self) -> None:
        """Let the VAE run in 32 bits from now on; weights that are infinite in 16 are read from the file again."""
        with torch.inference_mode(False):
            fits = all(weight.isfinite().all() for weight in self.vae.parameters())
            self.vae.float()
            if not fits:
                part = read_vae(self.vae_path, self.vae_config) if self.vae_path else read_parts(self.path)[1]["vae"]
                for name, weight in self.vae.state_dict(keep_vars=True).items():
                    weight.data = part.read(name, weight.shape).to(weight)
        self.notes.append(NEEDS_RANGE)

    def take_notes(self) -> list[str]:
        """Return what a person should know of what was done since this was asked for last."""
        notes, self.notes = self.notes, []
        return notes

    @property
    def vae_name(self) -> str | None:
        """Return the name of the VAE's own file, if it has one: `VAE` in the generation data."""
        return self.vae_path.name if self.vae_path else None

    @property
    def vae_hash(self) -> str | None:
        """Return the first 10 digits of the SHA-256 of the VAE's own file, if it has one."""
        return hashes.sha256_of(self.vae_path)[:10] if self.vae_path else None

    def use_vae(self, vae: Any, path: Path | None) -> None:
        """Take another VAE, which comes from the file `path`, or the baked one back."""
        if vae is not self.vae:
            self.hooks.remove()
            self.vae, self.plan = vae, MemoryPlan()
            self.__dict__.pop("rgb_factors", None)
        self.vae_path = path

    def park(self) -> None:
        """Move all weights to main memory, until `unpark`."""
        self.hooks.rest()
        self._move(torch.device("cpu"))

    def unpark(self) -> None:
        """Move all weights to the device that they run on, unless each goes there when it runs."""
        if self.plan.offload == "nothing":
            self._move(self.device)

    def _fetch_vae(self) -> None:
        """Bring the VAE back if another checkpoint has taken the place of this one meanwhile."""
        if self.plan.offload == "nothing" and next(self.vae.parameters()).device != self.device:
            self.vae.to(self.device)

    def _move(self, target: torch.device) -> None:
        models = (self.unet, self.vae, self.baked_vae, *(encoder.model for encoder in self.text_encoders))
        for model in filter(None, models):
            if next(model.parameters()).device != target:
                model.to(target)

    def start_hashing(self) -> None:
        """Find the hash of a single file while the first picture is made."""

        def find_hash() -> None:
            with contextlib.suppress(OSError):
                self._hash = hashes.sha256_of(self.path)

        if self.path.is_file():
            self._hashing = threading.Thread(target=find_hash, daemon=True)
            self._hashing.start()


def load_checkpoint(
    path: Path, device: torch.device, dtype: torch.dtype, rests_on: torch.device | None = None
) -> Checkpoint:
    """Read a diffusers folder or a single file to run on `device`; its weights are put there, or where they rest.

    Raises:
        InvalidParams: it is no checkpoint of a kind that runs here, or unsafe, or cut off.
    """
    kind, parts, scheduler = read_parts(path)
    check_widths(path.name, kind, parts)
    place = rests_on or device
    unet = fill_model(
        lambda: model_classes.UNet2DConditionModel.from_config(parts["unet"].config), parts["unet"], place, dtype
    )
    resize_after_upsampling(unet)
    vae = None if parts["vae"].is_absent else fill_vae(parts["vae"], place, dtype)
    texts = [(rule, parts[rule.part]) for rule in kind.texts]
    checkpoint = Checkpoint(
        path=path,
        unet=unet,
        vae=vae,
        vae_config=parts["vae"].config,
        text_encoders=tuple(TextEncoder(fill_text_model(part, place, dtype), rule) for rule, part in texts),
        tokenizer=ClipTokenizer(path / "tokenizer") if (path / "tokenizer").is_dir() else bundled_tokenizer(),
        sigma_table=read_sigma_table(scheduler),
        prediction_type=scheduler.get("prediction_type", "epsilon") or try_prediction_type(unet),
        device=device,
        kind=kind,
    )
    checkpoint.start_hashing()
    return checkpoint


def read_parts(path: Path) -> tuple[Kind, dict[str, Part], dict[str, Any]]:
    """Return the kind, the parts and the scheduler's config of a diffusers folder or a single file.

    Raises:
        As `load_checkpoint`.
    """
    return read_folder(path) if path.is_dir() else single_file.read_single_file(path)


@cache
def bundled_tokenizer() -> ClipTokenizer:
    """Return the tokenizer for files that bring none; reading it takes as long as half of a model."""
    return ClipTokenizer(BUNDLED_TOKENIZER)


def load_vae(path: Path, config: dict[str, Any], device: torch.device, dtype: torch.dtype) -> Any:
    """Read a VAE in a file of its own; `config` describes the one that it replaces.

    Raises:
        InvalidParams: it is no VAE, unsafe or cut off.
    """
    return fill_vae(read_vae(path, config), device, dtype)


def fill_vae(part: Part, device: torch.device, dtype: torch.dtype) -> Any:
    """Return a VAE with the weights of `part`, in 32 bits where 16 are known to be too few for it."""
    needs_range = dtype == torch.float16 and part.config.get("force_upcast", False)
    vae_dtype = torch.float32 if device.type == "mps" or needs_range else dtype
    return fill_model(lambda: model_classes.AutoencoderKL.from_config(part.config), part, device, vae_dtype)


def fill_text_model(part: Part, device: torch.device, dtype: torch.dtype) -> ClipTextModel:
    """Return a text encoder with the weights of `part`."""
    return fill_model(lambda: ClipTextModel(part.config), part, device, dtype)


@torch.inference_mode()
def try_prediction_type(unet: Any) -> str:
    """Return `epsilon` or `v_prediction` by asking a UNet about the last timestep, where all is noise.

    A model that guesses noise returns about what it is given there; one that guesses v returns about the opposite of
    the picture, which has far smaller values than such an input. This is how A1111 tells them apart.
    """
    x = torch.full((1, 4, 8, 8), 0.5, device=unet.device, dtype=unet.dtype)
    context = torch.full((1, 2, unet.config.cross_attention_dim), 0.5, device=unet.device, dtype=unet.dtype)
    guess = unet(x, torch.tensor([999], device=unet.device), encoder_hidden_states=context, return_dict=False)[0]
    return "v_prediction" if float((guess - x).float().mean()) < -1 else "epsilon"


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
        raise InvalidParams(f"{error}.", "Choose another checkpoint.") from None
    return SigmaTable(betas)


def check_widths(name: str, kind: Kind, parts: dict[str, Part]) -> None:
    """Make sure that the UNet reads what the text encoders write.

    Raises:
        InvalidParams: it does not.
    """
    width = sum(parts[rule.part].config["hidden_size"] for rule in kind.texts)
    if parts["unet"].config["cross_attention_dim"] != width:
        raise InvalidParams(f"{name}: its UNet does not fit its text encoder.", "Choose a text-to-image checkpoint.")

"""The model classes of diffusers and transformers that a run needs, imported here and nowhere else. No weights are touched.

Nothing is ever downloaded: both libraries are told to stay offline before they are imported.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL  # noqa: E402
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel  # noqa: E402
from transformers.models.clip.configuration_clip import CLIPTextConfig  # noqa: E402
from transformers.models.clip.modeling_clip import CLIPTextModel  # noqa: E402

__all__ = ["AutoencoderKL", "CLIPTextConfig", "CLIPTextModel", "UNet2DConditionModel"]

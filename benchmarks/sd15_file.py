"""A single file with random weights of the true shapes of Stable Diffusion 1.5, for benchmarks. It measures nothing.

It is written tensor by tensor, so that no model is built and hardly any memory taken.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

NOISE_WEIGHT = "model.diffusion_model.out.2.weight"
"""What turns features into the prediction; as large as the others it would predict hardly any noise."""


def write_sd15_file(path: Path) -> None:
    """Write fp16 weights (2.1 GB; the UNet is 1.7 of them) that keep the size of what goes through them.

    Needs stable_core_sd on the path.
    """
    import torch

    from stable_core_sd.tensor_writer import write_safetensors

    shapes = sd15_shapes()
    torch.manual_seed(0)

    def make(name: str) -> Any:
        shape = shapes[name].shape
        if len(shape) < 2:  # norms and biases
            return (torch.ones if name.endswith("weight") else torch.zeros)(shape, dtype=torch.float16)
        strength = 10 if name == NOISE_WEIGHT else 1
        return torch.empty(shape).uniform_(-1, 1).mul_(strength / math.sqrt(shapes[name][0].numel())).half()

    write_safetensors(path, shapes, make)


def sd15_shapes() -> dict[str, Any]:
    """Return empty fp16 tensors by the names of the original layout."""
    import torch

    from stable_core_sd import ldm_keys, model_classes
    from stable_core_sd.clip import ClipTextModel
    from stable_core_sd.diffusers_folder import read_json
    from stable_core_sd.single_file import CONFIGS

    parts: dict[str, Any] = {
        "unet": (ldm_keys.unet_key, model_classes.UNet2DConditionModel.from_config),
        "vae": (ldm_keys.vae_key, model_classes.AutoencoderKL.from_config),
        "text_encoder": (ldm_keys.text_encoder_key, ClipTextModel),
    }
    shapes = {}
    for part, (key, make) in parts.items():
        config = read_json(CONFIGS / "sd15" / part / "config.json")
        with torch.device("meta"):
            model = make(config)
        for name, weight in model.state_dict().items():
            stored = key(name, config)
            is_convolution = ".attn_1." in stored and weight.ndim == 2
            shapes[stored] = (weight[:, :, None, None] if is_convolution else weight).half()
    return shapes

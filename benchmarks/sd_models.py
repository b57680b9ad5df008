"""Stable Diffusion models with random weights, true in shape or tiny, for benchmarks that show results as JSON.

Importing it puts the core, the sd plugin and its tests on the path; PyTorch is imported when models are made.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
PATHS = [str(REPOSITORY / path) for path in ("src", "plugins/sd", "plugins/sd/tests")]
sys.path[:0] = PATHS
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

NANO = REPOSITORY / "plugins" / "sd" / "stable_core_sd" / "models" / "nano"
NEEDS_TORCH = {"skipped": "this Python has no PyTorch; use that of the sd plugin's environment"}


def show(results: dict[str, Any], out: Path | None) -> None:
    """Print results as JSON and write them to a file, where one is named."""
    text = json.dumps(results, indent=2)
    if out:
        out.write_text(text + "\n", encoding="utf-8")
    print(text)


def random_checkpoint(kind: str = "sd15", dtype: str = "float32", device: str = "cpu", is_tiny: bool = False) -> Any:
    """Return a checkpoint of the kind `sd15` or `sdxl`, made on its device without a file."""
    import torch

    from stable_core_sd import model_classes, model_kinds
    from stable_core_sd.checkpoint import Checkpoint, bundled_tokenizer, read_sigma_table
    from stable_core_sd.clip import ClipTextModel
    from stable_core_sd.text_encoding import TextEncoder
    from stable_core_sd.unet_sizes import resize_after_upsampling

    rules = {"sd15": model_kinds.SD1, "sdxl": model_kinds.SDXL}[kind]
    classes = {"unet": model_classes.UNet2DConditionModel.from_config, "vae": model_classes.AutoencoderKL.from_config}
    models = {}
    for part, config in part_configs(kind, is_tiny).items():
        with torch.device(device):
            model = classes.get(part, ClipTextModel)(config)
        if part not in classes:  # some of its weights are not set when it is made
            for weight in model.parameters():
                torch.nn.init.normal_(weight, std=0.02)
        # diffusers' own `to` warns of a change of format, whatever it is
        models[part] = torch.nn.Module.to(model, getattr(torch, dtype)).eval().requires_grad_(False)
    resize_after_upsampling(models["unet"])
    return Checkpoint(
        path=Path(kind),
        unet=models["unet"],
        vae=models["vae"],
        text_encoders=tuple(TextEncoder(models[rule.part], rule) for rule in rules.texts),
        tokenizer=bundled_tokenizer(),
        sigma_table=read_sigma_table({}),
        prediction_type="epsilon",
        device=torch.device(device),
        kind=rules,
    )


def part_configs(kind: str, is_tiny: bool) -> dict[str, dict[str, Any]]:
    """Return the configs of all models of a kind by their folders' names."""
    if is_tiny:
        import tiny
        import tiny_kinds

        return {"sd15": {"unet": tiny.UNET, "vae": tiny.VAE, "text_encoder": tiny.TEXT}, **tiny_kinds.CONFIGS}[kind]
    from stable_core_sd.diffusers_folder import read_json
    from stable_core_sd.single_file import CONFIGS

    return {path.parent.name: read_json(path) for path in sorted((CONFIGS / kind).glob("*/config.json"))}

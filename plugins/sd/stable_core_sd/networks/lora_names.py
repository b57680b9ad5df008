"""What the tensors of a LoRA file belong to, for all ways such files name them. It reads no file and changes no weight.

| family | a name |
|---|---|
| kohya, LyCORIS | `lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight` |
| the same in the layout of single files | `lora_unet_input_blocks_1_1_proj_in.lora_up.weight` |
| kohya's OFT | `oft_unet_down_blocks_0_attentions_0_proj_in.oft_blocks` |
| diffusers with peft | `unet.down_blocks.0.attentions.0.proj_in.lora_B.weight` |
| diffusers before peft | `unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.up.weight` |

Sources: https://github.com/kohya-ss/sd-scripts, https://github.com/KohakuBlueleaf/LyCORIS, https://github.com/huggingface/peft.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from stable_core_sd import ldm_keys


class Layer(NamedTuple):
    """One layer of a checkpoint: the part it is in (`unet`, `text_encoder`, `text_encoder_2`) and its dotted name."""

    part: str
    name: str


_PARTS = {
    "lora_unet_": "unet",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
    "lora_te_": "text_encoder",
    "lycoris_": "unet",
    "oft_unet_": "unet",
    "unet.": "unet",
    "text_encoder_2.": "text_encoder_2",
    "text_encoder.": "text_encoder",
    "model.diffusion_model.": "unet",
    "diffusion_model.": "unet",
    "cond_stage_model.transformer.": "text_encoder",
    "text_model.": "text_encoder",
    "": "unet",
}
"""What a name starts with when it belongs to a part; the first that fits counts, so longer starts come first."""

_ENDINGS = {
    "lora_up.weight": "up",
    "lora_down.weight": "down",
    "lora_mid.weight": "mid",
    "lora_B.weight": "up",
    "lora_A.weight": "down",
    "lora_B.default.weight": "up",
    "lora_A.default.weight": "down",
    "lora_B.bias": "diff_b",
    "lora.up.weight": "up",
    "lora.down.weight": "down",
    "lora_linear_layer.up.weight": "up",
    "lora_linear_layer.down.weight": "down",
    "lora_magnitude_vector": "magnitude",
    "lora_magnitude_vector.weight": "magnitude",
    "lora_magnitude_vector.default.weight": "magnitude",
    "dora_scale": "dora_scale",
    "alpha": "alpha",
    "scale": "scale",
    "diff": "diff",
    "diff_b": "diff_b",
    "w_norm": "w_norm",
    "b_norm": "b_norm",
    "on_input": "on_input",
    **{f"hada_{name}": f"hada_{name}" for name in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")},
    **{f"lokr_{name}": f"lokr_{name}" for name in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")},
    **{f"{name}.weight": name for name in ("a1", "a2", "b1", "b2")},
    **{name: name for name in ("oft_blocks", "oft_diag", "rescale")},
    "weight": "weight",
}
"""What a name ends with, and the name that the tensor has here."""

_DOTTED_NAME = re.compile(rf"(.+?)\.({'|'.join(map(re.escape, _ENDINGS))})")
_PROCESSOR_NAME = re.compile(r"(.+)_lora\.(up|down)\.weight")
_OLD_TEXT_LAYERS = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}


def split_name(name: str) -> tuple[str, str] | None:
    """Return a tensor's layer, still under the file's name, and what the tensor is: `up`, `alpha`, `hada_w1_a`, …

    None when it is nothing known.
    """
    if found := _PROCESSOR_NAME.fullmatch(name):
        return _without_processor(found[1]), found[2]
    if name.startswith(("lora_", "lycoris_", "oft_")):
        stem, _, ending = name.partition(".")
        return (stem, _ENDINGS[ending]) if ending in _ENDINGS else None
    found = _DOTTED_NAME.fullmatch(name)
    return (found[1], _ENDINGS[found[2]]) if found else None


def _without_processor(stem: str) -> str:
    """Return a layer's name of today for diffusers' old one: `attn1.processor.to_out` is `attn1.to_out.0`."""
    parent, _, layer = stem.replace(".processor", "").rpartition(".")
    if parent.endswith("self_attn"):
        return f"{parent}.{_OLD_TEXT_LAYERS.get(layer, layer)}"
    return f"{parent}.{'to_out.0' if layer == 'to_out' else layer}"


class LayerIndex:
    """Finds the layer of a checkpoint that a name in a LoRA file means."""

    def __init__(self, layers: Mapping[str, Iterable[str]], unet_config: Mapping[str, Any]) -> None:
        """Take the dotted names of the layers of each part that have weights."""
        self._layers: dict[tuple[str, str], Layer] = {}
        for part, names in layers.items():
            for name in names:
                layer = Layer(part, name)
                for other in _other_names(layer, unet_config):
                    self._layers.setdefault((part, _flat(other)), layer)

    def find(self, stem: str) -> Layer | None:
        """Return the layer called `stem` in a file, or None when this checkpoint has no such layer."""
        bare = stem.removeprefix("base_model.model.")
        start = next(start for start in _PARTS if bare.startswith(start))
        rest = bare[len(start) :].removeprefix("base_model.model.")
        return self._layers.get((_PARTS[start], _flat(rest)))


def _other_names(layer: Layer, unet_config: Mapping[str, Any]) -> list[str]:
    if layer.part == "unet":
        single_file_name = ldm_keys.unet_key(f"{layer.name}.weight", unet_config)
        return [layer.name, single_file_name.removeprefix(ldm_keys.UNET).removesuffix(".weight")]
    bare = layer.name.removeprefix("text_model.")
    return [bare, f"text_model.{bare}"]


def _flat(name: str) -> str:
    return name.replace(".", "_")

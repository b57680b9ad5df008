"""Put the trained parts together as a plain diffusers folder in half precision, and take it apart again.

Nothing is trained here.
"""

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from training.nano.denoiser import AVERAGE, NOISE, STATE, Denoiser, new_text_encoder
from training.nano.vocabulary import Vocabulary

PARTS = {
    "scheduler": ("diffusers", "DDIMScheduler"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "tokenizer": ("transformers", "CLIPTokenizer"),
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
}


def export_model(folder: Path, tokenizer_folder: Path, out: Path, vae: str, average: str = AVERAGE) -> None:
    """Write the weights averaged so, and folder/vae, as a StableDiffusionPipeline folder of about 27 MB."""
    tokenizer = CLIPTokenizer.from_pretrained(tokenizer_folder)
    vocabulary = Vocabulary(tokenizer)
    model = Denoiser(vocabulary.size)
    model.load_state_dict(torch.load(folder / STATE, map_location="cpu")[average])
    out.mkdir(parents=True, exist_ok=True)
    _whole_text_encoder(model.text_encoder, vocabulary).half().save_pretrained(out / "text_encoder")
    model.unet.to(memory_format=torch.contiguous_format).half().save_pretrained(out / "unet")
    autoencoder = AutoencoderKL.from_pretrained(folder / vae)
    autoencoder.half().save_pretrained(out / "vae")
    scheduler = DDIMScheduler(**NOISE, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    scheduler.save_pretrained(out / "scheduler")
    if tokenizer_folder.resolve() != (out / "tokenizer").resolve():
        shutil.copytree(tokenizer_folder, out / "tokenizer", dirs_exist_ok=True)
    # A bare load follows this entry for the text encoder, while diffusers' own parts come up in float32.
    _edit_json(
        out / "text_encoder" / "config.json", dtype="float32", eos_token_id=49_407, bos_token_id=49_406, pad_token_id=1
    )
    for part in ("unet", "vae"):
        _edit_json(out / part / "config.json", _name_or_path=None)
    for weights in out.rglob("*.safetensors"):
        weights.chmod(0o644)  # they are written for their owner only
    index = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.30.0", **PARTS}
    index |= {"feature_extractor": (None, None), "safety_checker": (None, None), "requires_safety_checker": False}
    (out / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _edit_json(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    content = {key: value for key, value in content.items() if value is not None or key not in changes}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _whole_text_encoder(compact: CLIPTextModel, vocabulary: Vocabulary) -> CLIPTextModel:
    whole = new_text_encoder(vocabulary.tokenizer.vocab_size, vocabulary.tokenizer.eos_token_id)
    weights = compact.state_dict()
    name = next(name for name in weights if name.endswith("token_embedding.weight"))
    weights[name] = vocabulary.table(weights[name])
    whole.load_state_dict(weights)
    return whole


def start_from_model(model_folder: Path, folder: Path) -> None:
    """Write an exported model into folder as the starting point of more training: folder/vae and folder/start.pt."""
    vocabulary = Vocabulary(CLIPTokenizer.from_pretrained(model_folder / "tokenizer"))
    model = Denoiser(vocabulary.size)
    weights = CLIPTextModel.from_pretrained(model_folder / "text_encoder", dtype=torch.float32).state_dict()
    name = next(name for name in weights if name.endswith("token_embedding.weight"))
    weights[name] = vocabulary.trained(weights[name])
    model.text_encoder.load_state_dict(weights)
    model.unet.load_state_dict(UNet2DConditionModel.from_pretrained(model_folder / "unet").float().state_dict())
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({AVERAGE: model.state_dict()}, folder / "start.pt")
    AutoencoderKL.from_pretrained(model_folder / "vae").float().save_pretrained(folder / "vae")

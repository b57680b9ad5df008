"""Restoring a run from a picture: what A1111's keys are in our params, and what a picture of ours says of itself.

It reads no file; see picture_files and infotext_reader.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stable_core.sdk import InvalidParams, Params
from stable_core_sd.checkpoint_list import AUTOMATIC, checkpoint_files, find_vae
from stable_core_sd.infotext_reader import read_infotext, read_pairs, split_infotext
from stable_core_sd.params import Img2ImgParams, Txt2ImgParams
from stable_core_sd.prompt.styles import Style

Json = dict[str, Any]

OF_IMAGE = ("Mask blur", "Mask blur x", "Mask mode", "Inpaint area", "Masked content", "Masked area padding")
"""Keys that only a picture made from another one has; `Denoising strength` is one of them without a second pass."""

OF_REDRAWING = {"Denoising strength": "denoising_strength", "Extra noise": "extra_noise"}
"""Keys of a pass that starts with a picture: the only one of a run from a picture, the second of a run from text."""

OF_HIRES = ("Hires upscale", "Hires resize-1", "Hires upscaler", "First pass size-1")

RUNS: Mapping[str, type[Params] | None] = {"sd.txt2img": Txt2ImgParams, "sd.img2img": Img2ImgParams, "sd.cell": None}
"""The jobs whose requests can be taken over from a picture, with their params; a cell is a run of either kind."""

OLD_WAYS = ("Old prompt editing timelines", "Pad conds v0")
"""Keys that stand for what an older version did."""

SAME = frozenset({"Use same sampler", "Use same scheduler", "Use same checkpoint"})

PLACES: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "Steps": ("steps", int),
    "Sampler": ("sampler", str),
    "Schedule type": ("scheduler", str),
    "CFG scale": ("cfg_scale", float),
    "Image CFG scale": ("image_cfg_scale", float),
    "Seed": ("seed", int),
    "Face restoration": ("faces.model", str),
    "Size-1": ("width", int),
    "Size-2": ("height", int),
    "Model": ("checkpoint", str),
    "VAE": ("vae", str),
    "FP8 weight": ("fp8", str),
    "Refiner": ("refiner.checkpoint", str),
    "Refiner switch at": ("refiner.switch_at", float),
    "Variation seed": ("variation.seed", int),
    "Variation seed strength": ("variation.strength", float),
    "Seed resize from-1": ("variation.resize_from_width", int),
    "Seed resize from-2": ("variation.resize_from_height", int),
    "Clip skip": ("text.clip_skip", int),
    "Emphasis": ("text.emphasis", str),
    "Old prompt editing timelines": ("text.old_editing", bool),
    "ENSD": ("noise.seed_delta", int),
    "Token merging ratio": ("token_merging_ratio", float),
    "Token merging ratio hr": ("hires.token_merging_ratio", float),
    "RNG": ("noise.source", str),
    "Eta": ("noise.eta", float),
    "Eta DDIM": ("noise.eta", float),
    "Sigma churn": ("noise.s_churn", float),
    "Sigma tmin": ("noise.s_tmin", float),
    "Sigma tmax": ("noise.s_tmax", float),
    "Sigma noise": ("noise.s_noise", float),
    "Schedule min sigma": ("schedule.sigma_min", float),
    "Schedule max sigma": ("schedule.sigma_max", float),
    "Schedule rho": ("schedule.rho", float),
    "Beta schedule alpha": ("schedule.beta_alpha", float),
    "Beta schedule beta": ("schedule.beta_beta", float),
    "Discard penultimate sigma": ("schedule.discard_next_to_last", bool),
    "SGM noise multiplier": ("schedule.sgm_noise", bool),
    "NGMS": ("guidance.skip_below_sigma", float),
    "Skip Early CFG": ("guidance.skip_early", float),
    "Pad conds": ("guidance.pad_texts", bool),
    "Pad conds v0": ("guidance.pad_texts_old", bool),
    "UniPC variant": ("unipc.variant", str),
    "UniPC skip type": ("unipc.spacing", str),
    "UniPC order": ("unipc.order", int),
    "UniPC lower order final": ("unipc.lower_order_final", bool),
    "Tiling": ("tiling", bool),
    "Noise multiplier": ("noise_multiplier", float),
    "Conditional mask weight": ("inpaint.mask_weight", float),
    "Mask blur": ("inpaint.mask_blur_x", int),
    "Mask blur x": ("inpaint.mask_blur_x", int),
    "Mask blur y": ("inpaint.mask_blur_y", int),
    "Inpaint area": ("inpaint.area", str),
    "Masked area padding": ("inpaint.padding", int),
    "Masked content": ("inpaint.fill", str),
    "Hires upscale": ("hires.scale", float),
    "Hires resize-1": ("hires.width", int),
    "Hires resize-2": ("hires.height", int),
    "Hires steps": ("hires.steps", int),
    "Hires upscaler": ("hires.upscaler", str),
    "Hires sampler": ("hires.sampler", str),
    "Hires schedule type": ("hires.scheduler", str),
    "Hires checkpoint": ("hires.checkpoint", str),
    "Hires prompt": ("hires.prompt", str),
    "Hires negative prompt": ("hires.negative_prompt", str),
}
"""The param that each key stands for, and the type of its value."""


def restore_run(infotext: str, provenance: str = "", styles: Sequence[Style] = ()) -> Json:
    """Return a request that makes the picture again, as `{"job", "inputs", "params", "infotext", "notes"}`.

    Args:
        provenance: the JSON that this project writes into its pictures, which is exact; without it the infotext counts.
        styles: those that are looked for in the prompts; found ones become params, and their texts go.

    What cannot be taken over is said in the notes: a value out of range, an unknown sampler, an input picture.
    """
    if told := _told(provenance):
        notes = ["The picture it was made from is not inside it"] if _has_pictures(told["inputs"]) else []
        return {**told, "infotext": infotext, "notes": notes}
    if not infotext.strip():
        notes = ["There is no generation data in it"]
        return {"job": "sd.txt2img", "inputs": {"prompt": ""}, "params": {}, "infotext": "", "notes": notes}
    line = split_infotext(infotext)[2]
    written, complete = read_pairs(line), read_infotext(infotext, styles=styles)
    has_hires = any(key in written for key in OF_HIRES)
    is_from_image = any(key in written for key in OF_IMAGE) or ("Denoising strength" in written and not has_hires)
    wanted, notes = _wanted(written, complete)
    wanted["negative_prompt"] = complete["Negative prompt"]
    if "Styles array" in complete:
        wanted["styles"] = complete["Styles array"]
    for key in OF_REDRAWING.keys() & written.keys():
        wanted[OF_REDRAWING[key] if is_from_image else f"hires.{OF_REDRAWING[key]}"] = written[key]
    if has_hires and not is_from_image:
        wanted["hires.enabled"] = True
    if is_from_image:
        notes.append("It was made from a picture, which is not inside it")
    params, more = _checked(Img2ImgParams if is_from_image else Txt2ImgParams, wanted)
    job = "sd.img2img" if is_from_image else "sd.txt2img"
    return {
        "job": job,
        "inputs": {"prompt": complete["Prompt"]},
        "params": params,
        "infotext": infotext,
        "notes": notes + more,
    }


def with_models_here(run: Json) -> Json:
    """Return a request with the models as they are called here; those that are not here are left out and noted.

    The hash of a checkpoint counts more than its name.
    """
    params, notes = dict(run["params"]), list(run["notes"])
    name, digits = params.get("checkpoint", ""), read_pairs(split_infotext(run["infotext"])[2]).get("Model hash", "")
    here = checkpoint_files() if name or digits else []
    found = next((one for text in (digits, name) if text for one in here if one.is_called(text)), None)
    if found:
        params["checkpoint"] = found.key
    elif name or digits:
        notes.append(f"The checkpoint {name or digits} is not here")
        params.pop("checkpoint", None)
    vae = params.get("vae", AUTOMATIC)
    try:
        find_vae(vae, Path())
    except InvalidParams:
        notes.append(f"The VAE {vae} is not here")
        del params["vae"]
    return {**run, "params": params, "notes": notes}


def _told(provenance: str) -> Json | None:
    """Return the request that a picture of ours has inside, if it was made by a run and not put together of several.

    A cell of a plot is given as the run that it is.
    """
    try:
        told = json.loads(provenance)
        job, inputs, params = told["job"], told["inputs"], told["params"]
    except (ValueError, TypeError, KeyError):
        return None
    if not isinstance(inputs, dict) or not isinstance(params, dict) or job not in RUNS:
        return None
    kind = RUNS[job] or (Img2ImgParams if inputs.get("image") else Txt2ImgParams)
    name = "sd.img2img" if kind is Img2ImgParams else "sd.txt2img"
    known = {key: value for key, value in params.items() if key in kind.model_fields}
    return {"job": name, "inputs": inputs, "params": known}


def _has_pictures(inputs: Json) -> bool:
    return any(isinstance(value, dict) and {"artifact", "job"} & value.keys() for value in inputs.values())


def _wanted(written: Json, complete: Json) -> tuple[Json, list[str]]:
    """Return what the keys ask for, by the places of our params, and notes about what has no place here."""
    wanted: Json = {}
    notes: list[str] = []
    pairs = {**written, "RNG": complete["RNG"]}  # its default is not ours
    changed = ("Size-1", "Size-2", "Hires resize-1", "Hires resize-2", "Hires prompt", "Hires negative prompt")
    for key in (*changed, *OLD_WAYS):
        if complete.get(key) or key in written:
            pairs[key] = complete[key]
    for key, value in pairs.items():
        if key not in PLACES or value in SAME:
            continue
        place, read = PLACES[key]
        try:
            wanted[place] = str(value) == "True" if read is bool else read(value)
        except ValueError:
            notes.append(f"{key}: {value} is not understood")
    if "Mask blur" in pairs:
        wanted["inpaint.mask_blur_y"] = wanted.get("inpaint.mask_blur_x", 4)
    if pairs.get("Face restoration"):
        wanted["restore_faces"] = True
    if pairs.get("Mask mode") == "Inpaint not masked":
        wanted["inpaint.invert"] = True
    return wanted, notes


def _checked(kind: type[Params], wanted: Json) -> tuple[Json, list[str]]:
    """Return nested params with all of `wanted` that a params class takes, and notes about the rest."""
    notes: list[str] = []
    while True:
        params: Json = {}
        for place, value in wanted.items():
            group, _, name = place.rpartition(".")
            (params.setdefault(group, {}) if group else params)[name] = value
        try:
            checked = kind.model_validate(params)
        except ValidationError as error:
            wrong = {".".join(map(str, item["loc"])): item["msg"] for item in error.errors()}
            left = {place: value for place, value in wanted.items() if not any(map(partial(_is_in, place), wrong))}
            if len(left) == len(wanted):
                return {}, [*notes, str(error)]
            notes += [f"{place}: {message}" for place, message in wrong.items()]
            wanted = left
        else:
            return checked.model_dump(mode="json", exclude_unset=True), notes


def _is_in(place: str, group: str) -> bool:
    return place == group or place.startswith(f"{group}.")

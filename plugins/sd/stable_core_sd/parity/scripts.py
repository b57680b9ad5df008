"""Checks of generation data, files, plots and other scripts. The reference cases are run by runner."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any

import PIL.Image

from stable_core_sd.file_names import NamedPicture, fill_pattern, sanitize
from stable_core_sd.infotext import RunFacts, quote, takes_seed_delta, unquote, write_infotext
from stable_core_sd.infotext_reader import read_infotext
from stable_core_sd.invocations.axis_values import (
    format_value,
    read_size,
    read_values,
    reorder_prompt,
    replace_prompt,
)
from stable_core_sd.invocations.loopback import loop_strengths
from stable_core_sd.invocations.prompt_matrix import combine
from stable_core_sd.learn_rate import read_learn_rates
from stable_core_sd.names import find_sampler
from stable_core_sd.parity.runner import Check, close
from stable_core_sd.picture_files import infotext_of, user_comment, write_picture
from stable_core_sd.prompt.styles import Style
from stable_core_sd.tags import prompt_of_tags

Case = Mapping[str, Any]


def run_infotext(case: Case, header: Case) -> Any:
    """Write or read an infotext, or quote one of its values."""
    if case["kind"] == "quote":
        return {"quoted": quote(case["value"])}
    if case["kind"] == "unquote":
        return {"unquoted": unquote(case["text"])}
    if case["kind"] == "parse":
        return {"parsed": _parsed(case["infotext"], case.get("opts", {}), case.get("styles", ()), header)}
    request, options = case["p"], header["defaults"] | case["p"]["opts"]
    infotext = write_infotext(request["prompt"], request["negative_prompt"], _facts(request, options).pairs())
    return {"infotext": infotext, "parsed": _parsed(infotext, options, (), header)}


def _facts(request: Case, options: Case) -> RunFacts:
    index = request["position_in_batch"] + request["iteration"] * request["batch_size"]
    strength = request["subseed_strength"]
    sampler = find_sampler(request["sampler_name"])
    features = {
        key: value[index] if isinstance(value, list) else value
        for key, value in request["extra_generation_params"].items()
    }
    return RunFacts(
        steps=request["steps"],
        sampler=request["sampler_name"],
        scheduler=request["scheduler"],
        cfg_scale=request["cfg_scale"],
        image_cfg_scale=request["image_cfg_scale"],
        seed=request["seed"] + (index if strength == 0 else 0),
        face_restoration=options["face_restoration_model"] if request["restore_faces"] else None,
        width=request["width"],
        height=request["height"],
        model_hash=request["sd_model_hash"] if options["add_model_hash_to_info"] else None,
        model=request["sd_model_name"] if options["add_model_name_to_info"] else None,
        vae_hash=request["sd_vae_hash"] if options["add_vae_hash_to_info"] else None,
        vae=request["sd_vae_name"] if options["add_vae_name_to_info"] else None,
        variation_seed=request["subseed"] + index,
        variation_strength=strength,
        resize_from=(request["seed_resize_from_w"], request["seed_resize_from_h"]),
        mask_weight=options["inpainting_mask_weight"] if request["is_using_inpainting_conditioning"] else None,
        clip_skip=options["CLIP_stop_at_last_layers"],
        ensd=options["eta_noise_seed_delta"] if sampler and takes_seed_delta(sampler, request["eta"]) else 0,
        token_merging=request["token_merging_ratio"],
        token_merging_hires=request["token_merging_ratio_hr"] if request["enable_hr"] else 0,
        noise_source=options["randn_source"],
        tiling=request["tiling"],
        version="v1.10.1" if options["add_version_to_infotext"] else None,
        user=request["user"] if options["add_user_name_to_info"] else None,
        features=features,
    )


def _parsed(infotext: str, options: Case, styles: Any, header: Case) -> dict[str, Any]:
    options = header["defaults"] | options
    return read_infotext(
        infotext,
        styles=[Style(*style) for style in styles],
        style_mode=options["infotext_styles"],
        skipped=options["infotext_skip_pasting"],
        swaps_hires_size=options["use_old_hires_fix_width_height"],
        old_ways=options["auto_backcompat"],
    )


def run_sanitize(case: Case, header: Case) -> Any:
    """Make a text fit for a file name."""
    return {"result": sanitize(case["text"], underscores=case["replace_spaces"])}


def run_pattern(case: Case, header: Case) -> Any:
    """Fill a pattern for a file name with what the header says of the picture."""
    request = {"batch_size": 1, "n_iter": 1, "batch_index": 0, "iteration": 0, "styles": ["None"], **case.get("p", {})}
    named = NamedPicture(
        picture=PIL.Image.new("RGB", (512, 768)),
        prompt=request.get("prompt", "a cat, (blue:1.2)"),
        negative_prompt=request.get("negative_prompt", "bad"),
        seed=123,
        seeds=[123, 124],
        steps=request.get("steps", 20),
        cfg_scale=request.get("cfg_scale", 7.0),
        sampler=request.get("sampler_name", "Euler a"),
        scheduler=request.get("scheduler", "Automatic"),
        styles=request["styles"],
        model_hash="abcdef0123",
        model_name="v1-5-pruned",
        vae="NoneType",
        denoising_strength=request.get("denoising_strength", 0.5),
        batch_size=request["batch_size"],
        batch_index=request["batch_index"],
        batch_count=request["n_iter"],
        iteration=request["iteration"],
    )
    return {"result": fill_pattern(case["pattern"], named)}


def run_container(case: Case, header: Case) -> Any:
    """Save a picture with its infotext and read that back."""
    form = {"jpg": "jpeg"}.get(case["ext"].strip("."), case["ext"].strip("."))
    content, _ = write_picture(PIL.Image.new("RGB", (64, 64), "teal"), case["geninfo"], form)
    with PIL.Image.open(io.BytesIO(content)) as picture:
        infotext, others = infotext_of(picture)
    return {"geninfo": infotext or None, "items": sorted(others)}


def run_axis(case: Case, header: Case) -> Any:
    """Read the values of an axis, apply one of them, or label it."""
    if "axis_type" in case:
        return {"values": [_as_json(value) for value in read_values(case["axis_type"], case["values"])]}
    if "label" in case:
        return {"text": f"{case['axis']}: {format_value(case['value'])}"}
    if case["apply"] == "Size":
        width, height = read_size(case["x"]) or case["initial"]
        return {"width": width, "height": height}
    if case["apply"] == "Prompt order":
        return {"prompt": reorder_prompt(case["prompt"], case["x"])}
    prompts = [case["prompt"], case["negative_prompt"]]
    prompt, negative_prompt = replace_prompt(prompts, case["xs"][0], case["x"])
    return {"prompt": prompt, "negative_prompt": negative_prompt}


def _as_json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return list(value) if isinstance(value, tuple) else value


def axis_declined(case: Case) -> str:
    """Say why a range may end elsewhere than the original's."""
    return "a range ends at its end, and 1e-3 is a number (see the README)" if "axis_type" in case["input"] else ""


def run_matrix(case: Case, header: Case) -> Any:
    """Combine the parts of a prompt."""
    is_positive = case["prompt_type"] == "positive"
    prompts = [case["prompt"], case["negative_prompt"]]
    matrix = combine(prompts[not is_positive], put_at_start=case["put_at_start"], delimiter=case["delimiter"])
    count = len(matrix.prompts)
    return {
        "prompts": matrix.prompts if is_positive else prompts[0],
        "negatives": prompts[1] if is_positive else matrix.prompts,
        "seeds": matrix.seeds(case["seed"], case["different_seeds"]),
        "n_iter": math.ceil(count / case["batch_size"]),
        "rows": matrix.rows,
    }


def run_loopback(case: Case, header: Case) -> Any:
    """Return the denoising strength of each loop."""
    return {"strength_used_by_loop": loop_strengths(case["loops"], case["initial"], case["final"], case["curve"])}


def run_tags(case: Case, header: Case) -> Any:
    """Turn the tags of a classifier into a prompt."""
    names = {
        "interrogate_deepbooru_score_threshold": "threshold",
        "deepbooru_sort_alpha": "by_name",
        "deepbooru_use_spaces": "spaces",
        "deepbooru_escape": "escape",
        "interrogate_return_ranks": "ranks",
        "deepbooru_filter_tags": "left_out",
    }
    tags = dict(zip(case["tags"], case["probabilities"], strict=True))
    return {"text": prompt_of_tags(tags, **{names[name]: value for name, value in case["opts"].items()})}


def run_learn_rates(case: Case, header: Case) -> Any:
    """Read a list of learn rates."""
    return {"rates": [list(rate) for rate in read_learn_rates(case["spec"], case["max_steps"], case["cur_step"])]}


CHECKS: dict[str, Check] = {
    "infotext": Check(run_infotext),
    "files_and_metadata:sanitize_filename_part": Check(run_sanitize),
    "files_and_metadata:filename_pattern": Check(run_pattern),
    "files_and_metadata:save_and_read": Check(run_container),
    "files_and_metadata:exif_user_comment": Check(lambda case, header: {"bytes_hex": user_comment(case["text"]).hex()}),
    "xyz_grid": Check(run_axis, close(1e-12, 1e-9), axis_declined),
    "misc:prompt_matrix": Check(run_matrix),
    "misc:loopback_strength": Check(run_loopback, close(1e-6)),
    "misc:deepbooru": Check(run_tags),
    "misc:learn_rate_schedule": Check(run_learn_rates, close(0, 1e-9)),
}

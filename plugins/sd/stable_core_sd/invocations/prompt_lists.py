"""Prompt lists: one run per line of a text, each with knobs of its own. It runs nothing.

Source of the syntax: A1111 1.10, prompts from file or textbox.
"""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from stable_core.sdk import InvalidParams
from stable_core.sdk.params import MAX_SEED, describe_validation
from stable_core_sd.params_scripts import AnyRunParams, CellParams, PromptsFromFileParams

TEXTS = ("prompt", "negative_prompt")
"""The options that take all words up to the next option."""

TRUE = ("true", "1", "yes", "on")

OPTIONS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "negative_prompt": ("negative_prompt", str),
    "styles": ("styles", lambda text: [name.strip() for name in text.split(",")]),
    "seed": ("seed", int),
    "subseed": ("variation.seed", int),
    "subseed_strength": ("variation.strength", float),
    "seed_resize_from_h": ("variation.resize_from_height", int),
    "seed_resize_from_w": ("variation.resize_from_width", int),
    "sampler_name": ("sampler", str),
    "sampler": ("sampler", str),
    "scheduler": ("scheduler", str),
    "batch_size": ("batch_size", int),
    "n_iter": ("batch_count", int),
    "steps": ("steps", int),
    "cfg_scale": ("cfg_scale", float),
    "width": ("width", int),
    "height": ("height", int),
    "tiling": ("tiling", lambda text: text.lower() in TRUE),
    "restore_faces": ("restore_faces", lambda text: text.lower() in TRUE),
    "sd_model": ("checkpoint", str),
}
"""The param that each option sets."""

WITHOUT_USE = (
    "do_not_save_samples",
    "do_not_save_grid",
    "outpath_samples",
    "outpath_grids",
    "prompt_for_display",
)
"""Options that a run here does not have, about saving and showing; they are read and passed over."""


def read_line(line: str) -> dict[str, Any]:
    """Return what a line says: `prompt` and params by place.

    A line without `--` is a prompt, and so is one that cannot be read as options.
    """
    if "--" in line:
        try:
            return _read_options(shlex.split(line))
        except (ValueError, IndexError, KeyError):
            pass
    return {"prompt": line}


def _read_options(words: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise ValueError(f"{word} is no option")
        name = word[2:]
        if name in TEXTS:
            taken = []
            while words and not words[0].startswith("--"):
                taken.append(words.pop(0))
            found[name] = " ".join(taken)
        elif name in WITHOUT_USE:
            words.pop(0)
        else:
            place, read = OPTIONS[name]
            found[place] = read(words.pop(0))
    return found


def plan_prompts(prompts: str, params: PromptsFromFileParams) -> list[tuple[str, CellParams]]:
    """Return the prompt and params of the run of each line that is not empty.

    Raises:
        InvalidParams: there is no line, or a line sets a knob to what it does not take.
    """
    lines = [line.strip() for line in prompts.splitlines() if line.strip()]
    if not lines:
        raise InvalidParams("There are no prompts.", "Write one per line.")
    base = params.model_dump(include=set(AnyRunParams.model_fields))
    runs, seed = [], params.seed
    for number, line in enumerate(lines, 1):
        said = read_line(line)
        own = said.pop("prompt", "")
        values = {**base, "seed": seed}
        for place, value in said.items():
            group, _, name = place.rpartition(".")
            values = {**values, group: {**values[group], name: value}} if group else {**values, name: value}
        try:
            knobs = CellParams.model_validate(values)
        except ValidationError as error:
            raise InvalidParams(f"Line {number}: {describe_validation(error)}", "Mend the line.") from None
        joined = [own, params.prompt] if params.position == "start" else [params.prompt, own]
        runs.append((" ".join(filter(None, joined)), knobs))
        if params.seeds == "one after the other":
            seed = min(seed + knobs.batch_size * knobs.batch_count, MAX_SEED)
        elif params.seeds == "random":
            seed = random.SystemRandom().randint(0, MAX_SEED)
    return runs

"""File names of pictures from patterns such as `[seed]-[prompt_words]`, as A1111 makes them. It writes no file.

Source of the rules: A1111 1.10, as seen from the names it gives.
"""

from __future__ import annotations

import hashlib
import re
import string
import zoneinfo
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Final

import PIL.Image

from stable_core_sd.names import find_sampler

MAX_PART = 128
"""The most characters of a name that are kept."""

MAX_WORDS = 8
FORBIDDEN = re.compile(r'[#<>:"/\\|?*\x00-\x1f]')
PART = re.compile(r"(.*?)(?:\[([^\[\]]+)\]|$)", re.DOTALL)
ARGUMENT = re.compile(r"(.*)<([^>]*)>$", re.DOTALL)
BETWEEN_WORDS = re.compile(rf"[\s{re.escape(string.punctuation)}]+")
TIME_FORMAT = "%Y%m%d%H%M%S"

NOTHING: Final = object()
"""The value of a token that does not apply: it goes, and the literal text before it too."""


def sanitize(text: str | None, *, underscores: bool = True) -> str | None:
    """Return a text as part of a file name that every system takes, at most `MAX_PART` characters; None stays None.

    Args:
        underscores: write spaces as underscores.
    """
    if text is None:
        return None
    text = text.replace(" ", "_") if underscores else text
    return FORBIDDEN.sub("_", text).lstrip(" ")[:MAX_PART].rstrip(" .")


@dataclass(frozen=True, kw_only=True)
class NamedPicture:
    """What a pattern can ask about a picture.

    Attributes:
        seed, seeds: its own and those of all pictures of its run. These, like all numbers of the run, are written as
            they are: a number or the text of one.
        batch_index: its place in its batch, from 0; `iteration` is that of the batch.
        style_texts: the texts of the styles in `styles`, in the same order.
        job_time: when its run began.
    """

    picture: PIL.Image.Image
    prompt: str = ""
    negative_prompt: str = ""
    seed: object = None
    seeds: Sequence[object] = ()
    steps: object = ""
    cfg_scale: object = ""
    sampler: str = ""
    scheduler: str = ""
    styles: Sequence[str] = ()
    style_texts: Sequence[str] = ()
    model_hash: str = ""
    model_name: str = ""
    vae: str = ""
    clip_skip: object = 1
    denoising_strength: object = 0
    batch_size: int = 1
    batch_index: int = 0
    batch_count: int = 1
    iteration: int = 0
    user: str | None = None
    basename: str = "img"
    job_time: str = ""
    now: datetime = field(default_factory=datetime.now)


def fill_pattern(pattern: str, named: NamedPicture) -> str:
    """Return a pattern with its tokens filled in; one that is unknown or misused stays, without its arguments.

    A token is `[name]` or `[name<argument><argument>]`, in any case. One that does not apply, such as `[batch_number]`
    of a single picture, goes together with the literal text before it.
    """
    name = ""
    for part in PART.finditer(pattern):
        literal, token = part.groups()
        if token is None:
            name += literal
            continue
        arguments: list[str] = []
        while found := ARGUMENT.match(token):
            token = found[1]
            arguments.insert(0, found[2])
        value = _value(named, token.lower(), arguments)
        if value is not NOTHING:
            name += f"{literal}[{token}]" if value is None else f"{literal}{value}"
    return name


def _value(named: NamedPicture, token: str, arguments: list[str]) -> object:
    """Return the value of a token; None if there is no such token or its arguments do not fit."""
    count = _ARGUMENT_COUNT.get(token, 0)
    if token not in TOKENS or (arguments and not count):
        return None
    try:
        return TOKENS[token](named, *arguments[:count])
    except ValueError:
        return None


def _digest(text: str, length: str = "") -> str:
    return hashlib.sha256(text.encode()).hexdigest()[: _length(length, 8)]


def _image_digest(named: NamedPicture, length: str = "") -> str:
    return hashlib.sha256(named.picture.tobytes()).hexdigest()[: _length(length, 64)]


def _length(text: str, default: int) -> int:
    return int(text) if text else default


def _words(named: NamedPicture) -> str | None:
    words = [word for word in BETWEEN_WORDS.split(named.prompt) if word] or ["empty"]
    return sanitize(" ".join(words[:MAX_WORDS]), underscores=False)


def _time(named: NamedPicture, form: str = "", zone: str = "") -> str | None:
    place: tzinfo | None = None
    if zone:
        try:
            place = zoneinfo.ZoneInfo(zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            place = None
    return sanitize(named.now.astimezone(place).strftime(form or TIME_FORMAT), underscores=False)


def _has_prompt(named: NamedPicture, *choices: str) -> str | None:
    """Return, for each `word|default`, the word if the prompt holds it, else the default."""
    prompt, found = named.prompt.lower(), ""
    for choice in filter(None, choices):
        word, *defaults = choice.split("|")
        found += word.lower() if word.lower() in prompt else (defaults[0] if defaults else "")
    return sanitize(found)


def _without_styles(named: NamedPicture) -> str | None:
    prompt = named.prompt
    for text in filter(None, named.style_texts):
        for part in text.split("{prompt}"):
            prompt = (prompt.replace(part, "") if part else prompt).replace(", ,", ",").strip().strip(",")
        prompt = prompt.replace(text, "").strip().strip(",").strip()
    return sanitize(prompt, underscores=False)


def _several(named: NamedPicture, value: object) -> object:
    return value if named.batch_size > 1 else NOTHING


def _number(named: NamedPicture) -> object:
    is_single = named.batch_size == 1 and named.batch_count == 1
    return NOTHING if is_single else named.iteration * named.batch_size + named.batch_index + 1


def _schedule(named: NamedPicture) -> str:
    """Return the schedule that was used: Automatic is that of the sampler, if it has one of its own."""
    sampler = find_sampler(named.sampler)
    if named.scheduler != "Automatic" or sampler is None or sampler.scheduler == "uniform":
        return named.scheduler.capitalize()
    return sampler.scheduler.capitalize()


def _styles(named: NamedPicture) -> str | None:
    chosen = [style for style in named.styles if style != "None"]
    return sanitize(", ".join(chosen) or "None", underscores=False)


TOKENS: dict[str, Callable[..., object]] = {
    "basename": lambda named: named.basename,
    "batch_number": lambda named: _several(named, named.batch_index + 1),
    "batch_size": lambda named: named.batch_size,
    "cfg": lambda named: named.cfg_scale,
    "clip_skip": lambda named: named.clip_skip,
    "date": lambda named: f"{named.now:%Y-%m-%d}",
    "datetime": _time,
    "denoising": lambda named: named.denoising_strength or NOTHING,
    "full_prompt_hash": lambda named, *length: _digest(f"{named.prompt} {named.negative_prompt}", *length),
    "generation_number": _number,
    "hasprompt": _has_prompt,
    "height": lambda named: named.picture.height,
    "image_hash": _image_digest,
    "job_timestamp": lambda named: named.job_time,
    "model_hash": lambda named: named.model_hash,
    "model_name": lambda named: sanitize(named.model_name, underscores=False),
    "negative_prompt_hash": lambda named, *length: _digest(named.negative_prompt, *length),
    "none": lambda named: "",
    "prompt": lambda named: sanitize(named.prompt),
    "prompt_hash": lambda named, *length: _digest(named.prompt, *length),
    "prompt_no_styles": _without_styles,
    "prompt_spaces": lambda named: sanitize(named.prompt, underscores=False),
    "prompt_words": _words,
    "sampler": lambda named: sanitize(named.sampler, underscores=False),
    "sampler_scheduler": lambda named: sanitize(f"{named.sampler} {_schedule(named)}", underscores=False),
    "scheduler": lambda named: sanitize(_schedule(named), underscores=False),
    "seed": lambda named: "" if named.seed is None else named.seed,
    "seed_first": lambda named: named.seeds[0] if named.batch_size > 1 and named.seeds else named.seed,
    "seed_last": lambda named: _several(named, named.seeds[-1] if named.seeds else ""),
    "steps": lambda named: named.steps,
    "styles": _styles,
    "user": lambda named: named.user,
    "vae_filename": lambda named: named.vae,
    "width": lambda named: named.picture.width,
}

_ARGUMENT_COUNT = {
    "datetime": 2,
    "full_prompt_hash": 1,
    "hasprompt": 99,
    "image_hash": 1,
    "negative_prompt_hash": 1,
    "prompt_hash": 1,
}
"""How many arguments a token takes; more are passed over."""

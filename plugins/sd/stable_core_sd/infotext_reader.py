"""Reading infotext: from the text of a picture to pairs by A1111's keys. What they mean to our jobs is in restore.

Source of the rules: A1111 1.10, as seen from what it makes of texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from packaging.version import InvalidVersion, Version

from stable_core_sd.images.hires_sizes import first_pass_size
from stable_core_sd.infotext import unquote
from stable_core_sd.prompt.attention import parse_attention
from stable_core_sd.prompt.styles import Style, extract_styles

PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
"""One `key: value` of the last line: the value is a quoted text or all up to the next comma."""

SIZE = re.compile(r"(\d+)x(\d+)")
NEGATIVE = "Negative prompt:"
FEWEST_PAIRS = 3
"""A last line with fewer belongs to the prompt."""

StyleMode = Literal["Ignore", "Apply", "Discard", "Apply if any"]

DEFAULTS: Mapping[str, Any] = {
    "Clip skip": "1",
    "Hires sampler": "Use same sampler",
    "Hires schedule type": "Use same scheduler",
    "Hires checkpoint": "Use same checkpoint",
    "Hires prompt": "",
    "Hires negative prompt": "",
    "Mask mode": "Inpaint masked",
    "Masked content": "original",
    "Inpaint area": "Whole picture",
    "Masked area padding": 32,
    "RNG": "GPU",
    "Schedule type": "Automatic",
    "Schedule max sigma": 0,
    "Schedule min sigma": 0,
    "Schedule rho": 0,
    "VAE Encoder": "Full",
    "VAE Decoder": "Full",
    "FP8 weight": "Disable",
    "Refiner switch by sampling steps": False,
}
"""What a missing key stands for; `Hires resize` and `Emphasis` have rules of their own."""

OLD_EDITING_UNTIL = Version("1.6.0")
FIXED_ALPHAS_SINCE = Version("1.7.0-225")
HIRES_STYLES_AFTER = Version("1.8.0-139")
REFINER_BY_SIGMA_SINCE = Version("1.8.0")


def read_infotext(
    text: str,
    *,
    styles: Sequence[Style] = (),
    style_mode: StyleMode = "Apply if any",
    skipped: Sequence[str] = (),
    swaps_hires_size: bool = False,
    old_ways: bool = True,
) -> dict[str, Any]:
    """Return the pairs of an infotext, its prompts under `Prompt` and `Negative prompt`, and defaults for the rest.

    Values that stand in the text are strings. A size becomes two values, `Size-1` and `Size-2`.

    Args:
        styles: those that are looked for in the prompts, as `style_mode` says; found ones are listed as
            `Styles array`.
        skipped: keys that are left out.
        swaps_hires_size: `Size` is the size after the high-resolution pass, as before 2023.
        old_ways: add what makes an older version's picture come out as it did.
    """
    prompt, negative_prompt, line = split_infotext(text)
    pairs = read_pairs(line)
    if style_mode != "Ignore":
        prompt, negative_prompt = _take_styles_out(pairs, prompt, negative_prompt, styles, style_mode)
    pairs |= {"Prompt": prompt, "Negative prompt": negative_prompt}
    if "Hypernet" in pairs:
        pairs["Prompt"] += f"<hypernet:{pairs['Hypernet']}:{pairs.get('Hypernet strength', '1.0')}>"
    if "Hires resize-1" not in pairs:
        pairs |= {"Hires resize-1": 0, "Hires resize-2": 0}
    _read_first_pass(pairs, swaps_hires_size)
    pairs = {**DEFAULTS, **pairs}
    if "Emphasis" not in pairs and uses_emphasis(pairs["Prompt"], negative_prompt):
        pairs["Emphasis"] = "Original"
    if old_ways:
        pairs |= _ways_of_old(pairs)
    return {key: value for key, value in pairs.items() if key not in skipped}


def split_infotext(text: str) -> tuple[str, str, str]:
    """Return the prompt, the negative prompt and the line of pairs, which is empty if there is none."""
    *lines, last = text.strip().split("\n")
    if len(PAIR.findall(last)) < FEWEST_PAIRS:
        lines, last = [*lines, last], ""
    prompts = ["", ""]
    is_negative = False
    for line in map(str.strip, lines):
        is_negative = is_negative or line.startswith(NEGATIVE)
        content = line.removeprefix(NEGATIVE).strip() if is_negative else line
        before = prompts[is_negative]
        prompts[is_negative] = f"{before}\n{content}" if before else content
    return prompts[0], prompts[1], last


def read_pairs(line: str) -> dict[str, Any]:
    """Return the pairs of the last line: quoted values unquoted, sizes in two, empty ones dropped, later ones win."""
    pairs: dict[str, Any] = {}
    for key, value in PAIR.findall(line):
        content = unquote(value)
        if size := SIZE.fullmatch(content):
            pairs |= {f"{key}-1": size[1], f"{key}-2": size[2]}
        elif value:
            pairs[key] = content
    return pairs


def parse_version(text: str | None) -> Version | None:
    """Return the version of the program that wrote a picture, `v1.6.0-2-g4afaaf8a` too; None if it is none."""
    if text is None:
        return None
    with_commit = re.match(r"([^-]+-[^-]+)-.*", text)
    try:
        return Version(with_commit[1] if with_commit else text)
    except InvalidVersion:
        return None


def _read_first_pass(pairs: dict[str, Any], swaps_hires_size: bool) -> None:
    """Turn the sizes of a picture of 2022 into those of today: `Size` is the first pass, `Hires resize` the picture."""
    if swaps_hires_size:
        hires = _whole(pairs["Hires resize-1"]), _whole(pairs.get("Hires resize-2", 0))
        if all(hires):
            pairs |= {"Size-1": hires[0], "Size-2": hires[1]}
        return
    if not {"First pass size-1", "First pass size-2"} <= pairs.keys():
        return
    first = _whole(pairs["First pass size-1"]), _whole(pairs["First pass size-2"])
    size = _whole(pairs.get("Size-1", 512)), _whole(pairs.get("Size-2", 512))
    if not all(first):
        first = first_pass_size(size) if all(size) else size
    pairs |= {"Size-1": first[0], "Size-2": first[1], "Hires resize-1": size[0], "Hires resize-2": size[1]}


def _whole(value: Any) -> int:
    """Return a number of a text of a stranger; 0 for what is none."""
    return int(value) if str(value).isdecimal() else 0


def _take_styles_out(
    pairs: dict[str, Any], prompt: str, negative_prompt: str, styles: Sequence[Style], mode: StyleMode
) -> tuple[str, str]:
    """Return the prompts without the styles that were found in them and note those in `pairs`.

    The prompts of a high-resolution pass must hold the same ones, or all stay as they are.
    """
    found, bare, negative_bare = extract_styles(styles, prompt, negative_prompt)
    version = parse_version(pairs.get("Version"))
    has_hires_prompt = "Hires prompt" in pairs or "Hires negative prompt" in pairs
    if has_hires_prompt and (version is None or version > HIRES_STYLES_AFTER):
        hires = pairs.get("Hires prompt", prompt), pairs.get("Hires negative prompt", negative_prompt)
        hires_found, hires_bare, hires_negative_bare = extract_styles(styles, *hires)
        if hires_found != found:
            return prompt, negative_prompt
        pairs["Hires prompt"] = "" if hires_bare == bare else hires_bare
        pairs["Hires negative prompt"] = "" if hires_negative_bare == negative_bare else hires_negative_bare
    if mode == "Apply" or (mode == "Apply if any" and found):
        pairs["Styles array"] = list(found)
    return bare, negative_bare


def uses_emphasis(*prompts: str) -> bool:
    """Tell whether a part of the prompts has a weight."""
    return any(weight != 1 and text != "BREAK" for prompt in prompts for text, weight in parse_attention(prompt))


def _ways_of_old(pairs: Mapping[str, Any]) -> dict[str, bool]:
    """Return the pairs that ask for the ways of the older version that wrote the text."""
    version = parse_version(pairs.get("Version"))
    if version is None:
        return {}
    wanted = {
        "Old prompt editing timelines": version < OLD_EDITING_UNTIL and "[" in pairs["Prompt"],
        "Pad conds v0": version < OLD_EDITING_UNTIL and pairs.get("Sampler") in ("DDIM", "PLMS"),
        "Downcast alphas_cumprod": version < FIXED_ALPHAS_SINCE,
        "Refiner switch by sampling steps": version < REFINER_BY_SIGMA_SINCE and bool(pairs.get("Refiner")),
    }
    return {key: True for key, is_wanted in wanted.items() if is_wanted}

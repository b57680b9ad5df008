"""How long a prompt is in tokens, and what of it would be cut: the counter under a prompt field. It loads no model."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from stable_core.sdk import InvalidParams, model_files
from stable_core_sd.params_prompts import TokenizeParams
from stable_core_sd.prompt.chunks import Chunk, limit_of
from stable_core_sd.prompt.composition import Part, split_parts
from stable_core_sd.prompt.editing import StepCount, schedule_texts
from stable_core_sd.prompt.extra_networks import take_networks
from stable_core_sd.prompt.reader import TextReader
from stable_core_sd.style_files import find_styles
from stable_core_sd.tokenizer import ClipTokenizer
from stable_core_sd.typed_prompts import Finish, cut_notes, style_notes, weight_notes

TOKENIZER = Path(__file__).parent / "models" / "nano" / "tokenizer"
"""CLIP's tokenizer is the same for all of Stable Diffusion."""


def count_tokens(prompt: str, params: TokenizeParams) -> dict[str, Any]:
    """Return how long a prompt is, as `sd.tokenize` reports it.

    Of all parts and of all texts over the steps the longest counts.
    """
    styles, unknown = find_styles(params.styles)
    finish = Finish(styles, params.text.comments)
    prompt = finish.negative_prompt(prompt) if params.negative else finish.prompt(prompt)
    prompt, networks = (prompt, []) if params.negative else take_networks(prompt)
    parts = [Part(prompt, 1.0)] if params.negative else split_parts(prompt)
    reader = TextReader(tokenizer(), params.text, _embedding_lengths(prompt))
    count = StepCount(params.steps, old_timelines=params.text.old_editing)
    scheduled = dict.fromkeys(text.text for part in parts for text in schedule_texts(part.text, count))
    longest = max((reader.read(text) for text in scheduled), key=lambda text: text.text.count)
    cut = tokenizer().text_of(longest.dropped)
    return {
        "tokens": longest.text.count,
        "limit": 75 if params.text.one_chunk else limit_of(longest.text.count),
        "chunks": [_describe(chunk) for chunk in longest.text.chunks],
        "cut": cut,
        "cut_tokens": len(longest.dropped),
        "parts": [{"text": part.text, "weight": part.weight} for part in parts],
        "networks": ["<" + ":".join([call.kind, *call.items]) + ">" for call in networks],
        "notes": [
            *cut_notes(len(longest.dropped), cut),
            *style_notes(unknown),
            *([] if params.negative else weight_notes(prompt)),
        ],
    }


@lru_cache(maxsize=1)
def tokenizer() -> ClipTokenizer:
    """Return CLIP's tokenizer, which takes a moment to read."""
    return ClipTokenizer(TOKENIZER)


def _describe(chunk: Chunk) -> dict[str, Any]:
    """Return the text of a row and the number of its tokens; embeddings are shown by their names."""
    names = {place.position: place for place in chunk.embeddings}
    words: list[str] = []
    length, position = 0, 1
    text = tokenizer()
    while position < len(chunk.tokens) and chunk.tokens[position] != text.end_token:
        place = names.get(position)
        step = place.vectors if place else 1
        words.append(f"{place.name}</w>" if place else text.token_text(chunk.tokens[position]))
        length, position = length + step, position + step
    return {"tokens": length, "text": text.plain_text("".join(words))}


def _embedding_lengths(prompt: str) -> dict[str, int]:
    """Return the vectors of embeddings by name; only files that the prompt may mean are opened, which takes PyTorch."""
    files = model_files("embeddings", suffixes=(".safetensors", ".pt", ".bin")).values()
    cards = model_files("embeddings", suffixes=(".png", ".webp", ".avif")).values()  # their names are inside
    meant = [*(path for path in files if path.stem.lower() in prompt.lower()), *cards]
    if not meant:
        return {}
    from stable_core_sd.networks.embedding_file import read_embedding

    lengths: dict[str, int] = {}
    for path in meant:
        with suppress(InvalidParams):  # a run will say what is wrong with it
            embedding = read_embedding(path)
            lengths |= {embedding.name: len(embedding)} if embedding else {}
    return lengths

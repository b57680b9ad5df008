"""Checks of the prompt language, token chunks, styles. The reference cases are run by runner."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from stable_core_sd.parity.runner import Check, close
from stable_core_sd.prompt import editing, styles
from stable_core_sd.prompt.attention import Piece, parse_attention
from stable_core_sd.prompt.chunks import Chunk, EmbeddingNames, chunk_pieces, limit_of
from stable_core_sd.prompt.comments import strip_comments
from stable_core_sd.prompt.composition import index_parts
from stable_core_sd.prompt.extra_networks import NetworkCall, take_batch_networks, take_networks
from stable_core_sd.prompt.styles import Style


def attention(given: Mapping[str, Any], header: Mapping[str, Any]) -> Any:
    """Run a case of prompt_attention."""
    return [list(piece) for piece in parse_attention(given["prompt"])]


def edits(given: Mapping[str, Any], header: Mapping[str, Any]) -> Any:
    """Run a case of prompt_editing: the schedule, and the entry that each of the first 24 model calls uses."""
    count = editing.StepCount(given["base_steps"], given["hires_steps"], given["use_old_scheduling"])
    schedule = editing.schedule_texts(given["prompt"], count)
    calls = min(given["base_steps"] if given["hires_steps"] is None else given["hires_steps"], 24)
    return {
        "schedule": [list(text) for text in schedule],
        "entry_used_by_model_call": [editing.entry_at(schedule, call) for call in range(calls)],
    }


def composition(given: Mapping[str, Any], header: Mapping[str, Any]) -> Any:
    """Run a case of and_composition."""
    texts, indexes = index_parts(given["prompts"])
    return {"indexes": [[list(part) for part in parts] for parts in indexes], "flat": texts}


class WordTokenizer:
    """The tokenizer of the reference cases: words and commas."""

    start_token, end_token, comma_token = 1, 2, 3

    def __init__(self) -> None:
        self.words = ["<emb>", "<s>", "<e>", ","]

    def __call__(self, text: str) -> list[int]:
        """Return a number for each word, the same for the same word."""
        found = re.findall(r"[^\s,]+|,", text)
        self.words += [word for word in dict.fromkeys(found) if word not in self.words]
        return [self.words.index(word) for word in found]


def chunking(given: Mapping[str, Any], header: Mapping[str, Any]) -> Any:
    """Run a case of token_chunking."""
    tokenizer = WordTokenizer()
    weighs = given["emphasis"] != "None"
    pieces = parse_attention(given["prompt"]) if weighs else [Piece(given["prompt"], 1.0)]
    names = EmbeddingNames(tokenizer, given["embeddings"])
    text = chunk_pieces(pieces, tokenizer, names, given["comma_padding_backtrack"])
    return {
        "token_count": text.count,
        "target_count": limit_of(text.count),
        "chunk_count": len(text.chunks),
        "chunks_rle": [_run_lengths(chunk, tokenizer.words) for chunk in text.chunks],
        "embedding_positions": [
            [[place.position - 1, place.name] for place in chunk.embeddings] for chunk in text.chunks
        ],
    }


def _run_lengths(chunk: Chunk, words: list[str]) -> list[list[Any]]:
    entries = zip(chunk.tokens, chunk.weights, strict=True)
    return [[words[token], weight, len(list(same))] for (token, weight), same in groupby(entries)]


def emphasis(given: Mapping[str, Any], header: Mapping[str, Any]) -> Any:
    """Run a case of token_chunking about weights."""
    import torch

    from stable_core_sd.emphasis import apply_weights

    embedded = torch.tensor(given["z"]).reshape(given["shape"])
    weights = torch.tensor(given["multipliers"]).reshape(given["shape"][:2])
    return {"z": apply_weights(embedded, weights, given["mode"]).flatten().tolist()}


def apply(given: Mapping[str, Any], header: Mapping[str, Any]) -> Any:
    """Run a case of styles: add texts to a prompt."""
    return {"result": styles.apply_styles(given["prompt"], given["style_texts"])}


def extract_text(given: Mapping[str, Any], header: Mapping[str, Any]) -> Any:
    """Run a case of styles: take one text out of a prompt."""
    rest = styles.extract_text(given["style_text"], given["prompt"])
    return {"result": [rest is not None, given["prompt"] if rest is None else rest]}


def extract_styles(given: Mapping[str, Any], header: Mapping[str, Any]) -> Any:
    """Run a case of styles: find those of two prompts."""
    known = [Style(name, prompt or "", negative or "") for name, prompt, negative in given["styles"]]
    return {"result": list(styles.extract_styles(known, given["prompt"], given["negative_prompt"]))}


def load_csv(given: Mapping[str, Any], header: Mapping[str, Any]) -> Any:
    """Run a case of styles: read a file."""
    read = styles.read_csv(given["text"])
    return {"styles": [[style.name, style.prompt, style.negative_prompt] for style in read]}


def save_csv(given: Mapping[str, Any], header: Mapping[str, Any]) -> Any:
    """Run a case of styles: write a file where there was one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "styles.csv"
        for _ in range(2):
            styles.save_csv(path, [Style(*fields) for fields in given["styles"]])
        return {"file_text": path.read_bytes().decode(), "bak_created": path.with_name("styles.csv.bak").is_file()}


def comments(given: Mapping[str, Any], header: Mapping[str, Any]) -> Any:
    """Run a case of styles about comments."""
    return {"result": strip_comments(given["text"])}


def networks(given: Mapping[str, Any], header: Mapping[str, Any]) -> Any:
    """Run a case of misc: the networks of a prompt by kind."""
    prompt, calls = take_networks(given["prompt"])
    return {"prompt": prompt, "networks": _by_kind(calls, _network)}


def batch_networks(given: Mapping[str, Any], header: Mapping[str, Any]) -> Any:
    """Run a case of misc: the networks of a batch."""
    prompts, calls = take_batch_networks(given["prompts"])
    return {"prompts": prompts, "networks_used": _by_kind(calls, lambda call: list(call.items))}


def _network(call: NetworkCall) -> dict[str, Any]:
    return {"items": list(call.items), "positional": list(call.positional), "named": call.named}


def _by_kind(calls: list[NetworkCall], shape: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for call in calls:
        found.setdefault(call.kind, []).append(shape(call))
    return found


def _malformed_weight(case: Mapping[str, Any]) -> str:
    is_error = "error" in case["expected"]
    return "a malformed weight is text here; the original stops the run" if is_error else ""


def _overlap(case: Mapping[str, Any]) -> str:
    is_overlap = "overlap" in case["quirk"]
    return (
        "both ends of a style have to fit side by side, or adding it again gives another prompt" if is_overlap else ""
    )


def _embedding(case: Mapping[str, Any]) -> str:
    given = case["input"]
    if any(name in given["prompt"] for name, vectors in given["embeddings"].items() if vectors > 75):
        return "an embedding of more vectors than a chunk has room for is cut; the original crashes"
    return "an embedding moving on with the words after a comma keeps its vectors" if given["embeddings"] else ""


def _same_styles(expected: Any, got: Any) -> bool:
    """Compare styles; what a short row leaves out is an empty text here."""
    return bool({"styles": [[field or "" for field in style] for style in expected["styles"]]} == got)


CHECKS: dict[str, Check] = {
    "prompt_attention": Check(attention, close(relative=1e-9), _malformed_weight),
    "prompt_editing": Check(edits),
    "and_composition": Check(composition),
    "token_chunking": Check(chunking, close(relative=1e-9), _embedding),
    "token_chunking:emphasis": Check(emphasis, close(absolute=2e-6, relative=1e-5)),
    "styles:apply": Check(apply),
    "styles:extract_text": Check(extract_text, declined=_overlap),
    "styles:extract_styles": Check(extract_styles, declined=_overlap),
    "styles:load_csv": Check(load_csv, _same_styles),
    "styles:save_csv": Check(save_csv),
    "styles:strip_comments": Check(comments),
    "misc:parse_extra_networks": Check(networks),
    "misc:parse_extra_networks_batch": Check(batch_networks),
}

"""Embedding files of all kinds, and which of them a checkpoint can use. It does not know where they stand in a text.

| file | what it holds |
|---|---|
| `.pt`, `.bin` | a dict with `string_to_param`, as A1111 and the first textual inversion write it |
| `.pt`, `.bin`, `.safetensors` | one tensor of any name: (width) or (vectors, width) |
| any | `clip_l` and `clip_g`, for the two text encoders of Stable Diffusion XL |
| `.png`, `.webp`, `.avif` | an embedding card |
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from stable_core.sdk import InvalidParams, model_files
from stable_core_sd.networks.embedding import Embedding
from stable_core_sd.networks.embedding_card import read_card
from stable_core_sd.networks.tensor_file import read_metadata, read_tensors
from stable_core_sd.pickles import read_pickle

PICTURES = (".png", ".webp", ".avif")
TENSORS = (".safetensors", ".pt", ".bin")
XL_KEYS = ("clip_l", "clip_g")


def usable_embeddings(widths: Collection[int]) -> tuple[dict[str, Embedding], dict[str, str]]:
    """Return the embeddings that a checkpoint can use by name, and why others cannot be used.

    Args:
        widths: of the vectors that its text encoders read, such as 768 for Stable Diffusion 1.x.
    """
    readable, skipped = readable_embeddings()
    usable: dict[str, Embedding] = {}
    for embedding in readable:
        if embedding.fits(widths):
            usable.setdefault(embedding.name, embedding)
        else:
            found = " and ".join(map(str, embedding.vectors))
            skipped.setdefault(embedding.name, f"its vectors have {found} numbers, made for another kind of model")
    return usable, skipped


def readable_embeddings() -> tuple[list[Embedding], dict[str, str]]:
    """Return all embeddings in the models folders, and why files cannot be read, by the files' name."""
    # Pictures apart: one beside a file of the same name is its preview and must not hide it.
    files = [*model_files("embeddings", suffixes=TENSORS).values()]
    files += model_files("embeddings", suffixes=PICTURES).values()
    found: list[Embedding] = []
    problems: dict[str, str] = {}
    for path in files:
        try:
            embedding = _read_cached(path, path.stat().st_mtime_ns)
        except InvalidParams as error:
            problems.setdefault(path.stem, error.message)
            continue
        if embedding is not None:
            found.append(embedding)
    return found, problems


def infotext_hashes(embeddings: Iterable[Embedding]) -> str:
    """Return what `TI hashes` says of the embeddings that a run used: `cat: 0123456789ab, dog: …`."""
    named = {one.name.replace(":", "").replace(",", ""): one.short_hash for one in embeddings}
    return ", ".join(f"{name}: {short_hash}" for name, short_hash in named.items() if short_hash)


@lru_cache(maxsize=4096)
def _read_cached(path: Path, modified: int) -> Embedding | None:
    return read_embedding(path)


def read_embedding(path: Path) -> Embedding | None:
    """Return the embedding in a file, or None for an empty file and for a picture that is no card.

    Raises:
        InvalidParams: it holds something else, is broken or could run code.
    """
    if path.stat().st_size == 0 or (path.suffix.lower() in PICTURES and path.stem.lower().endswith(".preview")):
        return None
    try:
        content = _read_content(path)
        if content is None:
            return None
        name = content.get("name") if path.suffix.lower() in PICTURES else None
        embedding = embedding_from(content, name or path.stem)
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidParams(f"{path.name} is no embedding: {error}.", "Choose another file.") from None
    return replace(embedding, path=path)


def write_embedding(embedding: Embedding, path: Path) -> None:
    """Write an embedding as `.safetensors`, or as `.pt` in A1111's form."""
    if path.suffix == ".pt":
        torch.save(pickled_form(embedding), path)
        return
    vectors = list(embedding.vectors.values())
    stored = dict(zip(XL_KEYS, vectors, strict=True)) if len(vectors) > 1 else {"emb_params": vectors[0]}
    facts = {"name": embedding.name, "step": embedding.step, "sd_checkpoint": embedding.checkpoint_hash}
    metadata = {key: str(value) for key, value in facts.items() if value is not None}
    save_file({name: value.detach().cpu().contiguous() for name, value in stored.items()}, path, metadata)


def pickled_form(embedding: Embedding) -> dict[str, Any]:
    """Return the dict that A1111's `.pt` files and cards hold."""
    vectors = [one.detach().cpu() for one in embedding.vectors.values()]
    facts = {
        "name": embedding.name,
        "step": embedding.step,
        "sd_checkpoint": embedding.checkpoint_hash,
        "sd_checkpoint_name": embedding.checkpoint_name,
    }
    if len(vectors) > 1:
        return dict(zip(XL_KEYS, vectors, strict=True)) | facts
    return {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors[0]}} | facts


def _read_content(path: Path) -> dict[str, Any] | None:
    suffix = path.suffix.lower()
    if suffix in PICTURES:
        try:
            with Image.open(path) as picture:
                return read_card(picture)
        except (OSError, Image.DecompressionBombError) as error:
            raise ValueError(str(error)) from None
    if suffix == ".safetensors":
        return {**read_metadata(path), **read_tensors(path)}
    content = read_pickle(path)
    if not isinstance(content, dict):
        raise TypeError("it holds no dict")
    return content


def embedding_from(content: Mapping[str, Any], name: str) -> Embedding:
    """Return the embedding that the content of a file describes.

    Raises:
        ValueError: it describes none.
    """
    tensors = _tensors_in(content.get("string_to_param", content))
    if set(XL_KEYS) <= tensors.keys():
        tensors = {key: tensors[key] for key in XL_KEYS}
    elif len(tensors) != 1:
        raise ValueError(f"it holds {len(tensors)} tensors")
    vectors = {one.shape[1]: one for one in map(_as_vectors, tensors.values())}
    if len({one.shape[0] for one in vectors.values()}) != 1:
        raise ValueError("it has more vectors for one text encoder than for the other")
    return Embedding(
        name=name,
        vectors=vectors,
        step=int(content.get("step") or 0),
        checkpoint_hash=content.get("sd_checkpoint"),
        checkpoint_name=content.get("sd_checkpoint_name"),
    )


def _tensors_in(content: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in content.items() if isinstance(value, Tensor)}


def _as_vectors(tensor: Tensor) -> Tensor:
    if tensor.ndim not in (1, 2) or not tensor.numel() or not tensor.is_floating_point():
        raise ValueError(f"a tensor of shape {list(tensor.shape)} is no list of vectors")
    # A copy, because what is read from a mapped file would change with the file.
    return tensor.detach().to(torch.float32, copy=True).reshape(-1, tensor.shape[-1])

"""From the texts of a batch to what the UNet reads, with gradients down to the vectors of embeddings.

Brackets and other marks of the prompt language are plain text here, as in the captions of pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from stable_core_sd.clip import Placed
from stable_core_sd.prompt.attention import Piece
from stable_core_sd.prompt.chunks import EmbeddingNames, chunk_pieces, wrap

Vectors = Mapping[int, Tensor]
"""The vectors of an embedding, of shape (vectors, width), by their width."""


def encode_texts(checkpoint: Any, texts: Sequence[str], embeddings: Mapping[str, Vectors]) -> Tensor:
    """Return what the UNet reads of each text, of shape (texts, 77 * rows, width); shorter ones get empty rows.

    Args:
        embeddings: vectors that stand in the texts for a name.
    """
    counts = {name: next(iter(vectors.values())).shape[0] for name, vectors in embeddings.items()}
    names = EmbeddingNames(checkpoint.tokenizer, counts)
    chunked = [chunk_pieces([Piece(text, 1.0)], checkpoint.tokenizer, names).chunks for text in texts]
    longest = max(map(len, chunked))
    empty = wrap([], [], checkpoint.tokenizer)
    rows = [row for chunks in chunked for row in (*chunks, *[empty] * (longest - len(chunks)))]
    placed = [
        Placed(index, place.position, embeddings[place.name])
        for index, row in enumerate(rows)
        for place in row.embeddings
    ]
    hidden = checkpoint.encode_tokens([row.tokens for row in rows], placed=placed).hidden
    return torch.cat(hidden, -1).reshape(len(texts), 77 * longest, -1)


def first_vectors(checkpoint: Any, text: str, count: int) -> dict[int, Tensor]:
    """Return `count` vectors to begin with: those of the words of a text, spread evenly, or zeros without a text."""
    tokens = torch.tensor(checkpoint.tokenizer(text), dtype=torch.long)
    found: dict[int, Tensor] = {}
    for encoder in checkpoint.text_encoders:
        table = encoder.model.embeddings["token_embedding"].weight
        vectors = table[tokens.to(table.device)].float()
        chosen = [index * len(vectors) // count for index in range(count)]
        found[table.shape[1]] = vectors[chosen].clone() if len(vectors) else vectors.new_zeros(count, table.shape[1])
    return found

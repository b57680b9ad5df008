"""From one text, without editing or `AND`, to rows of tokens, by the options of a run. It runs no model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from stable_core_sd.params import TextParams
from stable_core_sd.prompt.attention import Piece, parse_attention
from stable_core_sd.prompt.chunks import EmbeddingNames, Tokenizer, chunk_pieces
from stable_core_sd.prompt.legacy import CutText, cut_text


class WritingTokenizer(Tokenizer, Protocol):
    """A tokenizer that can also tell how tokens are written."""

    def token_text(self, token: int) -> str:
        """Return a token as the vocabulary has it."""


class TextReader:
    """Reads texts with one vocabulary."""

    def __init__(
        self, tokenizer: WritingTokenizer, options: TextParams, embeddings: Mapping[str, int] | None = None
    ) -> None:
        """Take the names of embeddings with their numbers of vectors."""
        self.tokenizer, self.options = tokenizer, options
        self.names = EmbeddingNames(tokenizer, embeddings or {})

    def read(self, text: str) -> CutText:
        """Return the rows of a text, and the tokens for which there was no room: only the old way drops any."""
        weighs = self.options.emphasis != "None"
        if self.options.one_chunk:
            return cut_text(text, self.tokenizer, self.names, self.tokenizer.token_text if weighs else None)
        pieces = parse_attention(text) if weighs else [Piece(text, 1.0)]
        return CutText(chunk_pieces(pieces, self.tokenizer, self.names, self.options.comma_backtrack), ())

"""CLIP's tokenizer from its two files. It knows no chunks and no prompt language."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE

START, END = "<|startoftext|>", "<|endoftext|>"
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class ClipTokenizer:
    """Turn text into the token numbers of CLIP.

    Source: Radford et al. 2021, https://arxiv.org/abs/2103.00020; byte-pair encoding of lower-case text.
    """

    def __init__(self, folder: Path) -> None:
        """Read `vocab.json` and `merges.txt` of a tokenizer folder."""
        vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
        lines = (folder / "merges.txt").read_text("utf-8").splitlines()
        merges = [tuple(line.split()) for line in lines if line and not line.startswith("#version")]
        bpe = BPE(
            vocab=vocabulary, merges=merges, unk_token=END, end_of_word_suffix="</w>", continuing_subword_prefix=""
        )
        self._tokenizer = Tokenizer(bpe)
        self._tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(_WORDS), "removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        self._tokenizer.add_special_tokens([START, END])
        self.start_token, self.end_token, self.comma_token = (
            vocabulary[START],
            vocabulary[END],
            vocabulary.get(",</w>", -1),
        )

    def __call__(self, text: str) -> list[int]:
        """Return the tokens of a text, without start and end."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def token_text(self, token: int) -> str:
        """Return a token as the vocabulary has it; `</w>` marks the end of a word."""
        return str(self._tokenizer.id_to_token(token))

    def text_of(self, tokens: Iterable[int]) -> str:
        """Return the text of tokens, in lower case and with single spaces, as the model sees it."""
        return self.plain_text("".join(map(self.token_text, tokens)))

    @staticmethod
    def plain_text(written: str) -> str:
        """Return the text of tokens that are written one after the other as the vocabulary has them."""
        return str(decoders.ByteLevel().decode([written])).replace("</w>", " ").strip()

"""Rows of tokens where the reference cases do not look: moved embeddings, fillings, the old way of reading."""

from __future__ import annotations

import random

import pytest

from stable_core_sd.parity.prompts import WordTokenizer
from stable_core_sd.prompt.attention import parse_attention
from stable_core_sd.prompt.chunks import ROOM, ChunkedText, EmbeddingNames, chunk_pieces, limit_of
from stable_core_sd.prompt.legacy import bracket_factor, cut_text


def chunk(prompt: str, backtrack: int = 20, **vectors: int) -> tuple[ChunkedText, WordTokenizer]:
    tokenizer = WordTokenizer()
    names = EmbeddingNames(tokenizer, vectors)
    return chunk_pieces(parse_attention(prompt), tokenizer, names, backtrack), tokenizer


def words(count: int) -> str:
    return " ".join(f"w{number}" for number in range(count))


def test_an_embedding_moves_with_what_follows_the_last_comma() -> None:
    text, tokenizer = chunk(f"{words(60)}, a emb {words(30)}", emb=2)
    assert text.chunks[0].embeddings == ()
    assert text.chunks[1].embeddings == ((2, "emb", 2),)
    assert text.chunks[1].tokens[1:4] == (tokenizer("a")[0], 0, 0)


def test_an_embedding_before_the_comma_stays() -> None:
    text, _ = chunk(f"{words(58)} emb, {words(30)}", emb=2)
    assert text.chunks[0].embeddings == ((59, "emb", 2),)
    assert text.chunks[1].embeddings == ()


def test_an_embedding_longer_than_a_row_is_cut() -> None:
    text, _ = chunk("a big b", big=80)
    assert [place.vectors for one in text.chunks for place in one.embeddings] == [ROOM]
    assert all(len(one.tokens) == 77 for one in text.chunks)


def test_an_embedding_without_a_name_or_vectors_is_harmless() -> None:
    tokenizer = WordTokenizer()
    names = EmbeddingNames(tokenizer, {" ": 3, "none": 0})
    assert chunk_pieces(parse_attention("a none b"), tokenizer, names).count == 2


def test_every_word_is_in_exactly_one_row() -> None:
    chance = random.Random(5)
    for _ in range(200):
        prompt = " ".join(chance.choices(["a", "b", ",", "BREAK", "(c d:1.2)", "emb"], k=chance.randint(0, 300)))
        text, tokenizer = chunk(prompt, chance.randint(0, 74), emb=chance.randint(1, 80))
        kept = [token for one in text.chunks for token in one.tokens[1:76] if token > 2]
        pieces = [piece.text for piece in parse_attention(prompt) if piece.weight != -1]
        assert kept == [token for token in tokenizer(" ".join(pieces)) if tokenizer.words[token] != "emb"]
        assert all(len(one.tokens) == len(one.weights) == 77 for one in text.chunks)
        assert limit_of(text.count) == ROOM * len(text.chunks)


@pytest.mark.parametrize(("token", "factor"), [("((", 1.21), ("]", 1.1), ("[", 1 / 1.1), ("()", 1), ("cat", 1)])
def test_brackets_in_tokens_are_weights_of_the_old_way(token: str, factor: float) -> None:
    assert bracket_factor(token) == pytest.approx(factor)


def test_the_old_way_cuts_after_one_row_and_says_what_was_dropped() -> None:
    tokenizer = WordTokenizer()
    names = EmbeddingNames(tokenizer, {"emb": 4})
    cut = cut_text(f"( {words(73)} emb x", tokenizer, names, lambda token: tokenizer.words[token])
    [row] = cut.text.chunks
    assert cut.text.count == 78
    assert len(cut.dropped) == 3
    assert row.weights[0] == row.weights[-1] == 1
    assert set(row.weights[1:-1]) == {1.1}
    assert row.embeddings == ((74, "emb", 2),)


def test_the_old_way_can_read_brackets_as_words() -> None:
    tokenizer = WordTokenizer()
    cut = cut_text("( a", tokenizer, EmbeddingNames(tokenizer, {}), None)
    assert cut.text.count == 2
    assert set(cut.text.chunks[0].weights) == {1.0}

"""Every word of the grammar has a trained row; the shipped tokenizer is CLIP's."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer

from training.nano.captions import FILLER, caption
from training.nano.data import scene_number
from training.nano.vocabulary import SYNONYMS, UNKNOWN, UNKNOWN_WORD, Vocabulary

TOKENIZER = Path(__file__).parents[3] / "plugins/sd/stable_core_sd/models/nano/tokenizer"


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(CLIPTokenizer.from_pretrained(TOKENIZER))


def test_token_ids_agree_with_clip(vocabulary: Vocabulary) -> None:
    ids = vocabulary.tokenizer("a photo of a cat").input_ids
    assert ids == [49406, 320, 1125, 539, 320, 2368, 49407]


def test_every_caption_word_is_trained(vocabulary: Vocabulary) -> None:
    rng = random.Random(0)
    captions = [caption(scene_number(index)[0], rng).replace(FILLER, "") for index in range(500)]
    assert UNKNOWN not in vocabulary.encode(captions, 32)


def test_filler_and_other_words_are_unknown(vocabulary: Vocabulary) -> None:
    first, second = vocabulary.encode([f"a {FILLER} circle", "a magnificent circle"], 8)
    assert np.array_equal(first, second)
    assert first[2] == UNKNOWN
    assert vocabulary.encode([UNKNOWN_WORD], 8)[0, 1] == UNKNOWN


def test_synonyms_share_a_row(vocabulary: Vocabulary) -> None:
    assert np.array_equal(*vocabulary.encode(["a crimson cottage", "a red house"], 8))
    assert all(word not in " ".join(SYNONYMS.values()).split() for word in SYNONYMS)


def test_a_table_of_rows_survives_the_round_trip(vocabulary: Vocabulary) -> None:
    rows = torch.randn(vocabulary.size, 4)
    table = vocabulary.table(rows)
    assert table.shape == (49_408, 4)
    assert torch.equal(vocabulary.trained(table), rows)

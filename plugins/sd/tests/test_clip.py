"""The text encoder and the tokenizer against numbers that transformers' CLIPTextModel and CLIPTokenizer gave."""

from __future__ import annotations

import pytest
import torch

from stable_core_sd.checkpoint import BUNDLED_TOKENIZER
from stable_core_sd.clip import ClipTextModel
from stable_core_sd.tokenizer import ClipTokenizer

CONFIG = {
    "vocab_size": 12,
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 6,
}
EXPECTED = {
    "quick_gelu": [0.67267, -0.740536, -0.389202, 0.472789, 0.642411, -0.510136, -0.39684, 0.704929],
    "gelu": [0.672465, -0.740219, -0.389116, 0.471891, 0.642276, -0.509835, -0.39677, 0.704269],
}


def filled(activation: str) -> ClipTextModel:
    """Return a tiny text encoder whose weights follow a formula."""
    model = ClipTextModel({**CONFIG, "hidden_act": activation})
    for index, (_, parameter) in enumerate(sorted(model.named_parameters())):
        values = torch.sin(torch.arange(parameter.numel(), dtype=torch.float32) * 0.7 + index) * 0.5
        parameter.data = values.reshape(parameter.shape)
    return model


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_text_encoder_equals_transformers(activation: str) -> None:
    with torch.no_grad():
        embedded = filled(activation)(torch.tensor([[10, 3, 7, 7, 11, 11]]))
    assert embedded.shape == (1, 6, 8)
    assert embedded[0, ::5, ::2].ravel().tolist() == pytest.approx(EXPECTED[activation], abs=1e-5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a photo of a cat", [320, 1125, 539, 320, 2368]),
        ("A Red circle, on a BLUE background!!", [320, 736, 7117, 267, 525, 320, 1746, 5994, 748]),
        ("it's the dog's 3rd 1234 house's", [585, 568, 518, 1929, 568, 274, 1973, 272, 273, 274, 275, 1212, 568]),
        ("  spaces\n\tand lines ", [9006, 537, 3418]),
        ("don't we're you'll I'd I've I'm", [847, 713, 649, 982, 592, 1342, 328, 1896, 328, 1200, 328, 880]),
        ("ΣΑΣ İstanbul", [139, 225, 138, 109, 139, 481, 328, 16384, 11231]),
        ("<|endoftext|> x <|startoftext|>", [49407, 343, 49406]),
        ("", []),
    ],
)
def test_tokens_equal_those_of_transformers(text: str, expected: list[int]) -> None:
    assert ClipTokenizer(BUNDLED_TOKENIZER)(text) == expected

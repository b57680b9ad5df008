"""The token counter: what counts, what would be cut, and that it needs no PyTorch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from stable_core.sdk import Progress
from stable_core_sd import plugin as announcement
from stable_core_sd.networks.embedding import Embedding
from stable_core_sd.networks.embedding_file import write_embedding
from stable_core_sd.params import TextParams
from stable_core_sd.params_prompts import TokenizeParams
from stable_core_sd.plugin import tokenize


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STABLE_CORE_MODELS", str(tmp_path))
    return tmp_path


def count(prompt: str, text: dict[str, Any] | None = None, **knobs: Any) -> Any:
    return tokenize(prompt, TokenizeParams(text=TextParams(**text or {}), **knobs), Progress()).value


@pytest.mark.parametrize(
    ("prompt", "tokens", "limit"),
    [
        ("", 0, 75),
        ("a red cat, a dog", 6, 75),
        ("(a red cat:1.3), [a dog]", 6, 75),
        ("a BREAK b", 76, 150),
        ("cat " * 75, 75, 75),
        ("cat " * 76, 76, 150),
        ("a cat AND a big red dog:0.7", 4, 75),
        ("[cat:a big red dog:0.5] x", 5, 75),
        ("a cat<lora:thing:1> # a note", 2, 75),
        ("a\n# a long note of many words\ncat", 2, 75),
    ],
)
def test_the_longest_text_of_a_prompt_counts(prompt: str, tokens: int, limit: int) -> None:
    found = count(prompt)
    assert (found["tokens"], found["limit"], found["cut"], found["notes"]) == (tokens, limit, "", [])


def test_a_negative_prompt_has_no_parts_and_no_networks() -> None:
    found = count("a AND b", negative=True)
    assert (found["tokens"], len(found["parts"])) == (3, 1)


def test_what_would_be_cut_is_told() -> None:
    found = count("cat " * 74 + "red green blue", {"one_chunk": True})
    assert (found["tokens"], found["limit"], found["cut"], found["cut_tokens"]) == (77, 75, "green blue", 2)
    assert "green blue" in found["notes"][0]


def test_it_is_told_where_chunks_are_divided() -> None:
    found = count("cat " * 70 + ", a red dog, a café in the sun")
    assert [chunk["tokens"] for chunk in found["chunks"]] == [75, 5]
    assert found["chunks"][1]["text"] == "a café in the sun"


def test_accidents_of_the_language_are_told() -> None:
    assert "weight of 9" in count("ratio 16:9")["notes"][0]
    assert "'none'" in count("a", styles=["none"])["notes"][0]


def test_styles_and_networks_are_listed(models: Path) -> None:
    (models / "styles.csv").write_text("name,prompt,negative_prompt\nInk,{prompt} in black ink,colour\n")
    found = count("a cat <lora:x:0.5> AND a dog:0.5", styles=["Ink"])
    assert found["parts"] == [{"text": "a cat", "weight": 1.0}, {"text": " a dog:0.5 in black ink", "weight": 1.0}]
    assert found["networks"] == ["<lora:x:0.5>"]
    assert count("bad", negative=True, styles=["Ink"])["tokens"] == 3


def test_an_embedding_counts_by_its_vectors(models: Path) -> None:
    (models / "embeddings").mkdir()
    write_embedding(Embedding("mything", {768: torch.zeros(6, 768)}), models / "embeddings" / "mything.safetensors")
    found = count("a mything cat")
    assert (found["tokens"], found["chunks"][0]["text"]) == (8, "a mything cat")
    (models / "embeddings" / "broken.pt").write_bytes(b"nothing")
    assert count("a broken cat")["tokens"] == 3


def test_counting_and_styles_need_no_pytorch() -> None:
    code = (
        "import sys; from stable_core_sd.plugin import tokenize, styles; from stable_core.sdk import Progress; "
        "from stable_core_sd.params_prompts import StyleListParams, TokenizeParams; "
        "tokenize('(a cat:1.2) AND [b:c:0.5]', TokenizeParams(), Progress()); "
        "styles(StyleListParams(), Progress()); assert 'torch' not in sys.modules"
    )
    folder = Path(announcement.__file__).parents[1]
    paths = {"PYTHONPATH": ":".join([str(folder), *sys.path])}
    subprocess.run([sys.executable, "-c", code], check=True, env=paths, timeout=60)

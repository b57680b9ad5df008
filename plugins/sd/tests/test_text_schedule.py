"""Encoded prompts: edits over the calls, weights over a whole schedule, embeddings, newer kinds, and what is kept."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import tiny_kinds
from stable_core_sd import single_file
from stable_core_sd.checkpoint import load_checkpoint
from stable_core_sd.clip import Placed
from stable_core_sd.conditioning import condition
from stable_core_sd.emphasis import apply_weights
from stable_core_sd.networks.activation import ActiveNetworks
from stable_core_sd.networks.embedding import Embedding
from stable_core_sd.params import RunParams, TextParams
from stable_core_sd.params_sampling import GuidanceParams
from stable_core_sd.passes import model_calls
from stable_core_sd.prompt.editing import StepCount
from stable_core_sd.text_schedule import EncodedSchedule, ScheduleEncoder

STEPS = StepCount(4)

pytestmark = pytest.mark.usefixtures("tiny_models")


@pytest.fixture(scope="module")
def checkpoint(models_folder: Path) -> Any:
    loaded = load_checkpoint(models_folder / "checkpoints" / "tiny", torch.device("cpu"), torch.float32)
    with torch.no_grad():  # a norm without a bias makes texts with a mean of 0, which weights cannot keep
        loaded.text_encoder.final_layer_norm.bias += 0.5
    return loaded


@torch.inference_mode()
def encode(checkpoint: Any, prompt: str, embeddings: Any = None, **options: Any) -> EncodedSchedule:
    return ScheduleEncoder(checkpoint, TextParams(**options), embeddings or {})(prompt, STEPS)


def rows_of(checkpoint: Any, *texts: str) -> torch.Tensor:
    """Return what the text encoder alone makes of short texts, of shape (texts, 77, width)."""
    start, end = checkpoint.tokenizer.start_token, checkpoint.tokenizer.end_token
    tokens = [checkpoint.tokenizer(text) for text in texts]
    rows = [[start, *row, *[end] * (76 - len(row))] for row in tokens]
    with torch.inference_mode():
        return checkpoint.encode_tokens(rows).hidden[0]


def test_each_call_gets_the_text_of_its_step(checkpoint: Any) -> None:
    schedule = encode(checkpoint, "a [red:blue:2] cat")
    red, blue = rows_of(checkpoint, "a red cat", "a blue cat")
    for call, expected in enumerate([red, red, red, blue]):
        torch.testing.assert_close(schedule.at(call).hidden, expected)


def test_weights_keep_the_mean_over_all_texts_of_a_schedule_each_as_often_as_it_is_scheduled(checkpoint: Any) -> None:
    schedule = encode(checkpoint, "[(red:1.5)|[cat|dog]|x]")
    texts = [entry.text for entry in schedule.entries]
    assert texts == ["(red:1.5)", "dog", "x", "(red:1.5)"]
    weights = torch.ones(4, 77)
    weights[0, 1] = weights[3, 1] = 1.5
    expected = apply_weights(rows_of(checkpoint, "red", "dog", "x", "red"), weights)
    for call, row in ((1, 0), (2, 1), (3, 2), (4, 3)):
        torch.testing.assert_close(schedule.at(call).hidden, expected[row])


def test_texts_of_one_schedule_are_equally_long(checkpoint: Any) -> None:
    schedule = encode(checkpoint, "[a:b BREAK c:2]")
    assert schedule.at(0).hidden.shape == schedule.at(3).hidden.shape == (154, 32)
    a, empty, b, c = rows_of(checkpoint, "a", "", "b", "c")
    torch.testing.assert_close(schedule.at(0).hidden, torch.cat([a, empty]))
    torch.testing.assert_close(schedule.at(3).hidden, torch.cat([b, c]))


@pytest.mark.parametrize(("emphasis", "text"), [("None", "(red:1.5)"), ("Ignore", "red")])
def test_weights_can_be_ignored_or_not_even_read(checkpoint: Any, emphasis: str, text: str) -> None:
    found = encode(checkpoint, "(red:1.5)", emphasis=emphasis).at(0).hidden
    torch.testing.assert_close(found, rows_of(checkpoint, text)[0])


def test_two_thousand_tokens_are_read(checkpoint: Any) -> None:
    assert encode(checkpoint, ", ".join(["a red cat"] * 500)).at(0).hidden.shape == (77 * 27, 32)


def test_the_old_way_drops_what_is_too_long(checkpoint: Any) -> None:
    schedule = encode(checkpoint, "cat " * 80, one_chunk=True)
    assert schedule.at(0).hidden.shape == (77, 32)
    assert checkpoint.tokenizer.text_of(schedule.dropped[0]) == "cat cat cat cat cat"


def test_an_embedding_stands_where_its_name_was(checkpoint: Any) -> None:
    embedding = Embedding("my thing", {32: torch.randn(3, 32, generator=torch.Generator().manual_seed(1))})
    schedule = encode(checkpoint, "a my thing cat", {"my thing": embedding})
    tokenizer = checkpoint.tokenizer
    [a], [cat], end = tokenizer("a"), tokenizer("cat"), tokenizer.end_token
    row = [tokenizer.start_token, a, 0, 0, 0, cat, *[end] * 71]
    with torch.inference_mode():
        expected = checkpoint.encode_tokens([row], placed=[Placed(0, 2, embedding.vectors)]).hidden[0][0]
    torch.testing.assert_close(schedule.at(0).hidden, expected)
    assert schedule.embeddings == [embedding]
    other = Embedding("my thing", {32: torch.zeros(3, 32)})
    assert not torch.equal(encode(checkpoint, "a my thing cat", {"my thing": other}).at(0).hidden, expected)


def test_what_was_encoded_is_kept_until_anything_changes(checkpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = encode(checkpoint, "(kept:1.2) [a|b]")
    assert encode(checkpoint, "(kept:1.2) [a|b]") is first
    assert encode(checkpoint, "(kept:1.2) [a|b]", clip_skip=2) is not first
    assert encode(checkpoint, "(kept:1.2) [a|b]", emphasis="No norm") is not first
    with torch.inference_mode():
        changed = ScheduleEncoder(checkpoint, TextParams(), {}, networks="a network")("(kept:1.2) [a|b]", STEPS)
    assert changed is not first
    for number in range(20):
        encode(checkpoint, f"{number}")
    assert encode(checkpoint, "(kept:1.2) [a|b]") is not first


def told(checkpoint: Any, prompts: list[str], negatives: list[str], **guidance: Any) -> Any:
    batch: Any = SimpleNamespace(prompts=prompts, negative_prompts=negatives, size=(64, 48))
    params = RunParams(guidance=GuidanceParams(**guidance))
    with torch.inference_mode():
        return condition(checkpoint, params, batch, STEPS, ActiveNetworks())


def test_a_batch_is_told_parts_and_negative_prompts(checkpoint: Any) -> None:
    texts = told(checkpoint, ["a<lora:x:1> AND b:0.5", "a"], ["n", ""])
    assert (texts.images, texts.weights, texts.is_composed) == ([0, 0, 1], [1.0, 0.5, 1.0], True)
    assert texts.parts[0].schedule is texts.parts[2].schedule
    prompt, negative = texts.at(0).prompt, texts.at(0).negative
    torch.testing.assert_close(prompt.hidden, rows_of(checkpoint, "a", "b", "a"))
    torch.testing.assert_close(negative.hidden, rows_of(checkpoint, "n", ""))


def test_what_stays_the_same_over_the_calls_is_put_together_once(checkpoint: Any) -> None:
    texts = told(checkpoint, ["[a:b:1]"], ["n"])
    found = [texts.at(call) for call in range(4)]
    assert found[0] is found[1]
    assert found[2] is found[3]
    assert found[1] is not found[2]
    assert found[3].together is found[3].together


def test_the_shorter_prompt_is_filled_with_the_empty_one(checkpoint: Any) -> None:
    texts = told(checkpoint, ["a BREAK b BREAK c"], ["n"], pad_texts=True)
    negative = texts.at(0).negative
    torch.testing.assert_close(negative.hidden[0], rows_of(checkpoint, "n", "", "").flatten(0, 1))


@pytest.mark.parametrize(("sampler", "calls"), [("Euler", 20), ("Heun", 40), ("DPM++ 2S a", 40)])
def test_samplers_of_second_order_count_calls(sampler: str, calls: int) -> None:
    assert model_calls(RunParams(sampler=sampler, steps=20)) == calls  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["sdxl", "sdxl_refiner"])
def test_kinds_with_a_pooled_text(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_file, "CONFIGS", tiny_kinds.write_configs(tmp_path / "configs"))
    folder = tiny_kinds.write_folder(tmp_path / "model", kind, tiny_kinds.make_models(kind))
    checkpoint = load_checkpoint(folder, torch.device("cpu"), torch.float32)
    texts = told(checkpoint, ["a (red:1.5) cat BREAK dog", ""], ["", "n"])
    prompt, negative = texts.at(0).prompt, texts.at(0).negative
    assert prompt.hidden.shape == (2, 154, 56 if kind == "sdxl" else 24)
    assert prompt.added["text_embeds"].shape == (2, 16)
    assert not negative.hidden[0].any()
    assert not negative.added["text_embeds"][0].any()
    assert negative.hidden[1].any()
    assert prompt.hidden[1].any()

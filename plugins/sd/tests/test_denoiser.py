"""Guidance and prediction types, with a UNet that is a formula."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from stable_core_sd.conditioning import Conditioning, Part
from stable_core_sd.denoiser import Denoiser
from stable_core_sd.guidance import Guidance
from stable_core_sd.model_kinds import SD1
from stable_core_sd.prompt.editing import ScheduledText
from stable_core_sd.schedules import SigmaTable, WholeTimesteps, training_betas
from stable_core_sd.size_conditions import SizeConditions
from stable_core_sd.text_schedule import EncodedSchedule, EncodedText

TABLE = SigmaTable(training_betas("scaled_linear", 0.00085, 0.012, 1000))
X = torch.linspace(-2, 2, 2 * 4 * 3 * 3).reshape(2, 4, 3, 3)


def text(value: float, chunks: int = 1) -> EncodedSchedule:
    """Return a text of one value for all steps."""
    return edited([(99, value)], chunks)


def edited(entries: list[tuple[int, float]], chunks: int = 1) -> EncodedSchedule:
    """Return texts of one value each, up to the steps given."""
    encoded = {str(value): EncodedText(torch.full((77 * chunks, 8), value), None) for _, value in entries}
    return EncodedSchedule([ScheduledText(end, str(value)) for end, value in entries], encoded, [], [])


PROMPT, NEGATIVE = text(2.0), text(0.5)


class FormulaUNet:
    """Predicts its scaled input times the mean of the text, and keeps its calls."""

    dtype = torch.float32

    def __init__(self) -> None:
        self.calls: list[tuple[tuple[int, ...], float]] = []

    def __call__(self, x: Any, timestep: Any, encoder_hidden_states: Any, **others: Any) -> tuple[Any]:
        self.calls.append((tuple(x.shape), float(timestep)))
        return (x * encoder_hidden_states.mean((1, 2))[:, None, None, None],)


def denoiser(
    parts: list[Part] | None = None,
    negatives: list[EncodedSchedule] | None = None,
    cfg_scale: float = 7.0,
    prediction: str = "epsilon",
    limits: dict[str, Any] | None = None,
    **options: Any,
) -> Denoiser:
    """Return a denoiser of two pictures with the usual prompts, unless others are given."""
    checkpoint: Any = SimpleNamespace(unet=FormulaUNet(), sigma_table=TABLE, prediction_type=prediction)
    parts = parts or [Part(0, PROMPT, 1.0), Part(1, PROMPT, 1.0)]
    texts = Conditioning(SD1, parts, negatives or [NEGATIVE, NEGATIVE], SizeConditions(24, 24), **options)
    return Denoiser(checkpoint, texts, Guidance(cfg_scale, **(limits or {})))


def strength(found: torch.Tensor, sigma: float) -> list[float]:
    """Return, for each picture, the factor that a result says the UNet predicted."""
    factors = (X - found) / (X / math.sqrt(sigma**2 + 1)) / sigma
    return [round(float(factor.mean()), 3) for factor in factors]


def denoise(sigma: float, **options: Any) -> tuple[Any, FormulaUNet]:
    one = denoiser(**options)
    return one(X, sigma), one.unet


@pytest.mark.parametrize("sigma", [0.05, 1.0, 14.0])
def test_guidance_goes_from_the_negative_prompt_past_the_prompt(sigma: float) -> None:
    found, unet = denoise(sigma)
    scaled = X / math.sqrt(sigma**2 + 1)
    assert torch.allclose(found, X - sigma * scaled * (0.5 + 7 * (2.0 - 0.5)), atol=1e-4)
    assert unet.calls == [((4, 4, 3, 3), pytest.approx(TABLE.timestep(sigma), abs=1e-3))]


def test_velocity_prediction() -> None:
    found, _ = denoise(2.0, cfg_scale=1, prediction="v_prediction")
    scaled = X / math.sqrt(5)
    assert torch.allclose(found, X / 5 - 2 / math.sqrt(5) * scaled * 2, atol=1e-5)


def test_the_negative_prompt_is_not_run_at_cfg_scale_1() -> None:
    found, unet = denoise(2.0, cfg_scale=1)
    assert [shape[0] for shape, _ in unet.calls] == [2]
    assert torch.allclose(found, X - 2 * X / math.sqrt(5) * 2, atol=1e-5)


def test_texts_of_different_length_run_one_after_the_other() -> None:
    together, unet = denoise(2.0)
    apart, split = denoise(2.0, negatives=[text(0.5, chunks=2)] * 2)
    assert torch.allclose(together, apart, atol=1e-5)
    assert ([shape[0] for shape, _ in unet.calls], [shape[0] for shape, _ in split.calls]) == ([4], [2, 2])


def test_parts_of_a_prompt_are_added_up_by_their_weights() -> None:
    parts = [Part(0, text(2.0), 1.0), Part(0, text(3.0), -0.5), Part(1, text(1.0), 2.0)]
    found, unet = denoise(2.0, parts=parts, cfg_scale=3.0)
    first = 0.5 + 3 * (2.0 - 0.5) - 1.5 * (3.0 - 0.5)
    assert strength(found, 2.0) == [first, 0.5 + 6 * (1.0 - 0.5)]
    assert [shape[0] for shape, _ in unet.calls] == [5]


def test_a_weight_counts_at_a_cfg_scale_of_1() -> None:
    found, _ = denoise(2.0, parts=[Part(0, PROMPT, 2.0), Part(1, PROMPT, 1.0)], cfg_scale=1)
    assert strength(found, 2.0) == [0.5 + 2 * 1.5, 2.0]


def test_each_call_is_told_the_text_of_its_step() -> None:
    one = denoiser([Part(0, edited([(1, 1.0), (4, 3.0)]), 1.0), Part(1, PROMPT, 1.0)], cfg_scale=1)
    assert [strength(one(X, 2.0), 2.0) for _ in range(4)] == [[1, 2], [1, 2], [3, 2], [3, 2]]


def test_parts_of_different_length_repeat_their_last_token() -> None:
    parts = [Part(0, text(2.0, chunks=2), 1.0), Part(0, text(3.0), 1.0), Part(1, PROMPT, 1.0)]
    found, unet = denoise(2.0, parts=parts, negatives=[text(0.5, chunks=2), NEGATIVE], cfg_scale=2.0)
    assert strength(found, 2.0) == [0.5 + 2 * 1.5 + 2 * 2.5, 0.5 + 2 * 1.5]
    assert len(unet.calls) == 1


def test_the_shorter_text_is_filled_up_on_demand() -> None:
    empty = torch.full((77, 8), 9.0)
    for parts, negatives in (
        (None, [text(0.5, chunks=3)] * 2),
        ([Part(0, text(2.0, chunks=3), 1.0), Part(1, PROMPT, 1.0)], None),
    ):
        one = denoiser(parts, negatives, empty=empty)
        texts = one.conditioning.at(0)
        prompt, negative = texts.prompt, texts.negative
        assert prompt.hidden.shape[1] == negative.hidden.shape[1] == 231
        shorter = negative if parts else prompt
        assert torch.equal(shorter.hidden[0, 77:], torch.full((154, 8), 9.0))
        one(X, 2.0)
        assert len(one.unet.calls) == 1


def test_the_negative_prompt_is_cut_or_repeated_on_demand() -> None:
    for chunks in (1, 3):
        one = denoiser(negatives=[text(0.5, chunks=chunks)] * 2, fits_negative=True)
        one(X, 2.0)
        assert [shape[0] for shape, _ in one.unet.calls] == [4]


def sizes(one: Denoiser) -> list[int]:
    return [shape[0] for shape, _ in one.unet.calls]


def test_the_negative_prompt_is_left_out_at_every_second_call_with_little_noise() -> None:
    one = denoiser(limits={"skip_below_sigma": 1.5})
    found = [strength(one(X, sigma), sigma) for sigma in (3.0, 2.0, 1.0, 0.5, 0.4)]
    guided = [0.5 + 7 * 1.5] * 2
    assert found == [guided, guided, guided, [2.0, 2.0], guided]
    assert sizes(one) == [4, 4, 4, 2, 4]


def test_samplers_of_timesteps_compare_them_with_that_limit_as_the_original_does() -> None:
    one = denoiser(limits={"skip_below_sigma": 1.5, "walks_timesteps": True})
    for sigma in (1.0, 0.5, TABLE.sigma(3), TABLE.sigma(1)):
        one(X, sigma)
    assert sizes(one) == [4, 4, 4, 2]


def test_the_negative_prompt_is_left_out_early() -> None:
    one = denoiser(limits={"skip_early": 0.2, "calls": 10})
    for _ in range(5):
        one(X, 2.0)
    assert sizes(one) == [2, 2, 2, 4, 4]


def test_without_the_negative_prompt_parts_count_against_the_first() -> None:
    parts = [Part(0, text(2.0), 1.0), Part(0, text(3.0), 0.5), Part(1, text(1.0), 2.0)]
    found, _ = denoise(2.0, parts=parts, limits={"skip_early": 1.0})
    assert strength(found, 2.0) == [2.5, 1.0]


def test_both_guesses_for_samplers_that_need_them() -> None:
    one = denoiser(cfg_scale=1.0)
    assert [strength(found, 2.0) for found in one.both(X, 2.0)] == [[2.0, 2.0], [0.5, 0.5]]
    assert sizes(one) == [4]
    without = denoiser(limits={"skip_early": 1.0})
    assert [strength(found, 2.0) for found in without.both(X, 2.0)] == [[2.0, 2.0]] * 2


def test_another_table_asks_about_other_timesteps() -> None:
    whole = denoiser()
    whole.table = WholeTimesteps(TABLE)
    whole(X, TABLE.sigma(300.4))
    assert whole.unet.calls[0][1] == 300

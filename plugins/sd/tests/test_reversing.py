"""Noise of a picture, found by walking upwards: sampling from it gives the picture back."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from runs import Recorded, difference, noisy
from stable_core_sd import passes
from stable_core_sd.params_scripts import AlternativeParams
from stable_core_sd.plugin import img2img_alternative
from stable_core_sd.ports import Picture
from stable_core_sd.reversing import mix_noise, noise_of, reverse_steps

SIGMAS = [0.0, *torch.linspace(-3.0, 2.6, 300).exp().tolist()]


def denoise(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Guess what is exact for pictures whose values are spread by 2 around 0."""
    return x * 4 / (4 + sigma**2)


def euler(x: torch.Tensor, sigmas: list[float]) -> torch.Tensor:
    for sigma, following in itertools.pairwise(sigmas):
        x = x + (x - denoise(x, sigma)) / sigma * (following - sigma)
    return x


@pytest.mark.parametrize("is_adjusted", [False, True])
def test_sampling_from_the_noise_gives_the_picture_back(is_adjusted: bool) -> None:
    torch.manual_seed(0)
    latents = 2 * torch.randn(1, 4, 8, 8)
    *_, x = reverse_steps(denoise, latents, SIGMAS, is_adjusted)
    assert torch.allclose(euler(x, SIGMAS[::-1]), latents, atol=0.05 * latents.abs().max())
    assert torch.allclose(x / latents, torch.full_like(x, ((4 + SIGMAS[-1] ** 2) / 4) ** 0.5), rtol=0.05)


def test_noise_has_a_spread_of_one_or_is_measured_by_its_level() -> None:
    x = 14 * torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    assert noise_of(x, 14).std() == pytest.approx(1)
    assert torch.equal(noise_of(x, 14, is_adjusted=True), x / 14)


def test_mixed_noise_keeps_its_spread() -> None:
    generator = torch.Generator().manual_seed(0)
    found, fresh = torch.randn(2, 100_000, generator=generator)
    assert torch.equal(mix_noise(found, fresh, 0), found)
    assert torch.equal(mix_noise(found, fresh, 1), fresh)
    assert mix_noise(found, fresh, 0.3).std() == pytest.approx(1, abs=0.01)


def alternative(prompt: str, progress: Recorded | None = None, **knobs: Any) -> list[Any]:
    params = AlternativeParams(
        **{"checkpoint": "tiny", "steps": 3, "decode_steps": 3, "original_prompt": "a cat", "seed": 7, **knobs}
    )
    return list(img2img_alternative(Picture(noisy(), prompt), params, progress or Recorded()))


def test_styles_and_comments_count_and_notes_are_told(tiny_models: Path) -> None:
    (tiny_models / "styles.csv").write_text("name,prompt,negative_prompt\nInk,{prompt} in ink,colour\n")
    [styled] = alternative("# mine\na cat", styles=["Ink", "Oil"])
    [typed] = alternative("\na cat in ink", negative_prompt="colour")
    assert difference(styled, typed) == 0
    assert styled.info["parameters"] == typed.info["parameters"]
    assert styled.info["notes"] == ["There is no style 'Oil'"]


@pytest.mark.usefixtures("tiny_models")
@pytest.mark.parametrize(("wish", "count"), [("interrupt", 1), ("skip", 2)])
def test_a_run_from_its_own_noise_can_be_interrupted_and_skipped(wish: str, count: int) -> None:
    progress = Recorded(wishes={1: wish})
    assert len(alternative("a dog", progress, batch_count=3)) == count


@pytest.mark.usefixtures("tiny_models")
def test_a_refiner_has_no_part_in_finding_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    another = passes.another_checkpoint
    monkeypatch.setattr(passes, "another_checkpoint", lambda name: (opened.append(name), another(name))[1])
    alternative("a dog", refiner={"checkpoint": "tiny_file", "switch_at": 0.5})
    assert opened == ["tiny_file"]


@pytest.mark.usefixtures("tiny_models")
def test_a_sheet_of_all_pictures_can_be_added() -> None:
    assert [one.size for one in alternative("a dog", batch_count=2, grid=True)] == [(64, 64), (64, 64), (128, 64)]

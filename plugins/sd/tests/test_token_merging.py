"""Token merging: against a computation token by token, inside a UNet, and as a knob of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from runs import change, difference, draw, noisy
from stable_core_sd.checkpoint import Checkpoint, load_checkpoint
from stable_core_sd.params import Img2ImgParams, Txt2ImgParams
from stable_core_sd.restoring import restore_run
from stable_core_sd.token_merging import match_tokens, merged_tokens

CPU = torch.device("cpu")


@pytest.fixture
def tiny(tiny_models: Path, models_folder: Path) -> Checkpoint:
    return load_checkpoint(models_folder / "checkpoints" / "tiny", CPU, torch.float32)


def one_by_one(x: Tensor, height: int, width: int, ratio: float) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the places of the tokens that stay and the pairs (place, place of its target) of those that do not."""
    places = [(row, column) for row in range(height) for column in range(width)]
    targets = [
        row * width + column
        for row, column in places
        if row % 2 == column % 2 == 0 and row + 1 < height and column + 1 < width
    ]
    likest: list[tuple[float, int, int]] = []
    for place in range(height * width):
        if place not in targets:
            found = [float(torch.cosine_similarity(x[place], x[target], dim=0)) for target in targets]
            best = max(range(len(targets)), key=found.__getitem__)
            likest.append((found[best], place, targets[best]))
    likest.sort(reverse=True)
    pairs = [(place, target) for _, place, target in likest[: int(height * width * ratio)]]
    return [place for place in range(height * width) if place not in dict(pairs)], pairs


@pytest.mark.parametrize(("size", "ratio"), [((4, 4), 0.5), ((4, 6), 0.3), ((5, 7), 0.5), ((3, 2), 0.9), ((4, 4), 0.9)])
def test_tokens_are_merged_as_one_by_one(size: tuple[int, int], ratio: float) -> None:
    x = torch.randn(3, size[0] * size[1], 8, generator=torch.Generator().manual_seed(5))
    matching = match_tokens(x, *size, ratio)
    merged, values = matching.merge(x), torch.randn(x.shape, generator=torch.Generator().manual_seed(6))
    spread = matching.unmerge(matching.merge(values))
    for picture, tokens in enumerate(x):
        staying, pairs = one_by_one(tokens, *size, ratio)
        groups = {place: [place, *(source for source, target in pairs if target == place)] for place in staying}
        expected = torch.stack([tokens[group].mean(0) for group in groups.values()])
        assert merged.shape[1] == len(expected)
        assert torch.allclose(merged[picture].sort(0).values, expected.sort(0).values, atol=1e-5)
        for group in groups.values():
            mean = values[picture, group].mean(0)
            assert all(torch.allclose(spread[picture, place], mean, atol=1e-5) for place in group)


@torch.inference_mode()
def predicted(checkpoint: Checkpoint, size: tuple[int, int] = (8, 8)) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    x, hidden = torch.randn(2, 4, *size, generator=generator), torch.randn(2, 77, 32, generator=generator)
    made: Tensor = checkpoint.unet(x, 500, encoder_hidden_states=hidden, return_dict=False)[0]
    return made


def test_a_unet_is_as_before_without_and_after_it(tiny: Checkpoint) -> None:
    expected = predicted(tiny)
    for ratio in (0, 1e-9):
        with merged_tokens(tiny.unet, ratio) as is_possible:
            assert is_possible
            if not ratio:
                assert torch.equal(predicted(tiny), expected)
            else:  # nothing is merged, but the tokens stand in another order
                assert torch.allclose(predicted(tiny), expected, atol=1e-4)
    with merged_tokens(tiny.unet, 0.5):
        assert not torch.allclose(predicted(tiny), expected, atol=1e-2)
    assert torch.equal(predicted(tiny), expected)


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 4), (2, 2)])
def test_self_attention_at_full_size_sees_fewer_tokens(tiny: Checkpoint, size: tuple[int, int]) -> None:
    seen: list[int] = []
    block = next(iter(tiny.unet.down_blocks[0].attentions)).transformer_blocks[0]
    with merged_tokens(tiny.unet, 0.5):
        handle = block.attn1.to_q.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].shape[1]))
        made = predicted(tiny, size)
        handle.remove()
    tokens = size[0] * size[1]
    assert seen == [tokens if min(size) < 2 else tokens - int(tokens * 0.5)]
    assert made.shape[-2:] == size


def test_a_model_without_attention_at_full_size_is_left_alone() -> None:
    unet: Any = torch.nn.Identity()
    unet.config = type("Config", (), {"down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"]})
    with merged_tokens(unet, 0.5) as is_possible:
        assert not is_possible


@pytest.mark.usefixtures("tiny_models")
class TestRuns:
    def test_the_ratio_changes_the_picture_and_is_written_into_it(self) -> None:
        plain, merged = draw()[0], draw(token_merging_ratio=0.5)[0]
        assert difference(plain, merged) > 0
        assert difference(plain, draw(token_merging_ratio=0)[0]) == 0
        assert "Token merging" not in plain.info["parameters"]
        params = Txt2ImgParams(**restore_run(merged.info["parameters"])["params"])
        assert (params.token_merging_ratio, params.hires.token_merging_ratio) == (0.5, 0)

    def test_the_second_pass_has_its_own_or_that_of_the_first(self) -> None:
        hires = {"enabled": True, "denoising_strength": 0.5}
        made = {
            ratios: draw(token_merging_ratio=ratios[0], hires={**hires, "token_merging_ratio": ratios[1]})[0]
            for ratios in ((0, 0), (0, 0.5), (0.5, 0), (0.5, 0.5), (0.5, 0.25))
        }
        assert difference(made[0.5, 0], made[0.5, 0.5]) == 0
        assert all(difference(made[0.5, 0], made[other]) > 0 for other in ((0, 0), (0, 0.5), (0.5, 0.25)))
        told = [made[ratios].info["parameters"] for ratios in ((0, 0.5), (0.5, 0), (0.5, 0.25))]
        assert "Token merging ratio hr: 0.5" in told[0]
        assert "Token merging ratio: " not in told[0]
        assert "Token merging ratio: 0.5, Token merging ratio hr: 0.5" in told[1]
        params = Txt2ImgParams(**restore_run(told[2])["params"])
        assert (params.token_merging_ratio, params.hires.token_merging_ratio) == (0.5, 0.25)

    def test_runs_from_pictures_have_it_too(self) -> None:
        plain, merged = change(noisy())[0], change(noisy(), token_merging_ratio=0.5)[0]
        assert difference(plain, merged) > 0
        assert Img2ImgParams(**restore_run(merged.info["parameters"])["params"]).token_merging_ratio == 0.5

"""The kinds of previews, with weights made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from runs import Recorded, draw, pixels
from stable_core.sdk import InvalidParams
from stable_core_sd.model_kinds import SD1, SDXL
from stable_core_sd.preview import approximate_pixels, preview_sheet
from stable_core_sd.tiny_decoders import ApproximateDecoder, TinyDecoder, find_decoder

pytestmark = pytest.mark.usefixtures("tiny_models")
CPU = torch.device("cpu")


def previews(**knobs: Any) -> tuple[list[Any], list[str]]:
    """Return the previews of a run and its notes."""
    method = {"previews": knobs}
    progress = Recorded()
    [first, *_] = draw(progress=progress, batch_size=2, **method)
    return progress.previews, first.info.get("notes", [])


def write(folder: Path, name: str, network: torch.nn.Module) -> Path:
    torch.manual_seed(0)
    path = folder / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: torch.randn_like(value) * 0.05 for key, value in network.state_dict().items()}, path)
    return path


def test_the_full_vae_shows_what_the_picture_becomes() -> None:
    progress = Recorded()
    [picture] = draw(progress=progress, previews={"method": "Full"}, steps=4)
    assert progress.previews[-1].size == (64, 64)
    assert np.abs(pixels(progress.previews[-1]) - pixels(picture)).mean() < 2


@pytest.mark.parametrize("every", [1, 2, 3, 10])
def test_a_preview_after_every_so_many_steps(every: int) -> None:
    shown, _ = previews(every=every)
    assert len(shown) == 4 // every


def test_only_the_first_picture_is_shown_on_demand() -> None:
    assert previews(whole_batch=False)[0][0].size == (64, 64)
    assert previews()[0][0].size == (128, 64)


def first_preview(content: str, **knobs: Any) -> Any:
    progress = Recorded()
    draw("a red circle", progress=progress, previews={"content": content}, negative_prompt="a blue star", **knobs)
    return pixels(progress.previews[0])


@pytest.mark.parametrize("sampler", ["Euler", "DDIM", "DDIM CFG++", "Restart"])
def test_one_of_the_prompts_alone_can_be_shown(sampler: str) -> None:
    alone = Recorded(), Recorded()
    for progress, prompt in zip(alone, ("a red circle", "a blue star"), strict=True):
        draw(prompt, progress=progress, cfg_scale=1, sampler="Euler")
    shown = [first_preview(content, sampler=sampler) for content in ("Prompt", "Negative prompt", "Combined")]
    if sampler == "Euler":
        expected = [pixels(one.previews[0]) for one in alone]
        assert np.array_equal(expected, shown[:2])
    assert np.abs(shown[0] - shown[1]).max() > 0
    assert np.abs(shown[0] - shown[2]).max() > 0


def test_where_the_negative_prompt_is_left_out_what_there_is_is_shown() -> None:
    assert np.array_equal(first_preview("Negative prompt", cfg_scale=1), first_preview("Combined", cfg_scale=1))


def test_the_prompt_of_a_refiner_is_shown_too() -> None:
    shown = [first_preview("Prompt", refiner={"checkpoint": name, "switch_at": 0.01}) for name in ("", "tiny_file")]
    assert np.array_equal(*shown)


@pytest.mark.parametrize("method", ["TAESD", "Approx NN"])
def test_without_weights_previews_are_approximate_and_a_note_says_so(method: str) -> None:
    shown, notes = previews(method=method)
    assert np.array_equal(pixels(shown[0]), pixels(previews()[0][0]))
    assert any(method in note and "vae_approx" in note for note in notes)


@pytest.mark.parametrize(
    ("method", "folder", "name", "network", "size"),
    [
        ("TAESD", "vae_approx", "taesd_decoder", TinyDecoder, (128, 64)),
        ("TAESD", "VAE-taesd", "taesd_decoder", TinyDecoder, (128, 64)),
        ("Approx NN", "VAE-approx", "model", ApproximateDecoder, (32, 16)),
    ],
)
def test_tiny_decoders_are_used_where_their_weights_are(
    tiny_models: Path, method: str, folder: str, name: str, network: Any, size: tuple[int, int]
) -> None:
    write(tiny_models / folder, name, network())
    shown, notes = previews(method=method)
    assert (shown[0].size, notes) == (size, [])
    assert find_decoder(method, SDXL, CPU) is None


def test_a_tiny_decoder_keeps_the_place_of_things(tiny_models: Path) -> None:
    write(tiny_models / "vae_approx", "taesd_decoder", TinyDecoder())
    decode = find_decoder("TAESD", SD1, CPU)
    assert decode is not None
    latents = torch.zeros(1, 4, 6, 6)
    changed = latents.clone()
    changed[..., :2, :2] = 3.0
    difference = (decode(changed) - decode(latents)).abs().amax(1)[0]
    assert difference.shape == (48, 48)
    assert difference[:16, :16].mean() > 10 * difference[32:, 32:].mean()


def test_the_eight_convolutions_take_away_what_was_added() -> None:
    assert ApproximateDecoder().decode(torch.zeros(2, 4, 5, 7)).shape == (2, 3, 10, 14)


def test_other_weights_are_refused(tiny_models: Path) -> None:
    write(tiny_models / "vae_approx", "taesd_decoder", ApproximateDecoder())
    with pytest.raises(InvalidParams, match="taesd_decoder"):
        find_decoder("TAESD", SD1, CPU)


@pytest.mark.parametrize("how", ["cut off", "another network"])
def test_a_run_with_broken_weights_for_previews_goes_on_and_says_so(tiny_models: Path, how: str) -> None:
    path = write(tiny_models / "vae_approx", "taesd_decoder", ApproximateDecoder())
    if how == "cut off":
        path.write_bytes(path.read_bytes()[:-40])
    shown, [note] = previews(method="TAESD")
    assert np.array_equal(pixels(shown[0]), pixels(previews()[0][0]))
    assert "taesd_decoder.safetensors" in note
    assert note.endswith(": previews are approximate.")


def test_a_sheet_is_never_made_larger_than_it_may_be() -> None:
    sheet = preview_sheet(approximate_pixels(torch.zeros(3, 4, 4, 6), torch.zeros(5, 3)), largest=2)
    assert sheet.size == (24, 16)
    assert preview_sheet(torch.zeros(1, 3, 600, 300), largest=1).size == (128, 256)

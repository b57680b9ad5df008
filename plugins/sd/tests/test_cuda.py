"""What only a GPU can show: its pictures are those of the CPU, 16 bits are enough, memory is kept small and comes back.

Skipped where there is no CUDA GPU. `SD_TEST_GPU` names another device to run on, such as `mps`; the tests of a GPU's
memory are for CUDA alone. The differences that are measured go into the report (`--junit-xml`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import stable_core_sd
from runs import Recorded, box_mask, change, draw, is_red_on_blue, pixels
from stable_core.sdk import JobCancelled, Progress
from stable_core_sd import checkpoint_store, upscale_models
from stable_core_sd.checkpoint_store import open_checkpoint, unload
from stable_core_sd.names import SAMPLERS, SCHEDULERS
from stable_core_sd.networks.training.jobs import train_embedding, train_hypernetwork
from stable_core_sd.noise import ImageNoise
from stable_core_sd.params_training import TrainEmbeddingParams, TrainHypernetworkParams, TrainingPictures
from stable_core_sd.plugin import plugin
from stable_core_sd.settings import SdSettings

GPU = os.environ.get("SD_TEST_GPU", "cuda:0")
NANO = Path(stable_core_sd.__file__).parent / "models" / "nano"
CIRCLE = "a red circle on a blue background"
LORA_LAYER = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_v"
MIB = 2**20

pytestmark = pytest.mark.skipif(
    GPU.startswith("cuda") and not torch.cuda.is_available(), reason="this machine has no CUDA GPU"
)
cuda_alone = pytest.mark.skipif(not GPU.startswith("cuda"), reason="only CUDA tells and limits its memory")

Use = Callable[..., None]
Keep = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return an empty models folder; jobs run on the GPU, and convolutions with all digits of float32."""
    monkeypatch.setenv("STABLE_CORE_MODELS", str(tmp_path))
    monkeypatch.setenv("STABLE_CORE_DEVICE", GPU)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    for name in ("checkpoints", "loras", "upscale_models"):
        (tmp_path / name).mkdir()
    unload()
    yield tmp_path
    plugin.configure({})
    unload()


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Return what sets the device and the settings of the runs that follow."""

    def choose(device: str = GPU, **settings: Any) -> None:
        monkeypatch.setenv("STABLE_CORE_DEVICE", device)
        plugin.configure(settings)

    return choose


def picture_of(prompt: str = CIRCLE, **knobs: Any) -> Any:
    """Return the pixels of a picture by the built-in model, in 20 steps unless more are asked for."""
    return pixels(draw(prompt, **{"checkpoint": "nano", "steps": 20, "preview": False, **knobs})[0])


def assert_near(found: Any, expected: Any, keep: Keep, mean: float = 0.5) -> None:
    """Compare pixels; edges may move a little, which only few pixels show."""
    apart = np.abs(found - expected)
    keep("mean_difference", round(float(apart.mean()), 4))
    keep("largest_difference", int(apart.max()))
    assert found.shape == expected.shape
    assert apart.mean() <= mean


def on_both(use: Use, make: Callable[[], Any]) -> tuple[Any, Any]:
    """Return what the GPU makes in 32 bits, and the CPU."""
    use(precision="fp32")
    found = make()
    use("cpu", precision="fp32")
    return found, make()


def write_upscaler(folder: Path) -> None:
    """Write a small ESRGAN, `small`, which makes pictures twice as large."""
    upscale_models.import_spandrel()
    from spandrel.architectures.ESRGAN import ESRGAN

    torch.manual_seed(0)
    network = ESRGAN(num_filters=4, num_blocks=1, scale=2)
    save_file(network.state_dict(), folder / "upscale_models" / "small.safetensors")


def write_lora(folder: Path) -> None:
    """Write a LoRA, `strong`, of one layer."""
    random = torch.Generator().manual_seed(0)
    stored = {
        f"{LORA_LAYER}.lora_up.weight": torch.randn(128, 4, generator=random),
        f"{LORA_LAYER}.lora_down.weight": torch.randn(4, 96, generator=random),
    }
    save_file(stored, folder / "loras" / "strong.safetensors")


@pytest.mark.parametrize("sampler", [one.label for one in SAMPLERS])
def test_every_sampler_makes_the_picture_of_the_cpu(sampler: str, use: Use, record_property: Keep) -> None:
    # The lengths of DPM adaptive's steps hang on the last digits.
    mean = 4.0 if sampler == "DPM adaptive" else 0.5
    assert_near(*on_both(use, lambda: picture_of(sampler=sampler)), record_property, mean)


@pytest.mark.parametrize("scheduler", [one.label for one in SCHEDULERS])
def test_every_noise_schedule_makes_the_picture_of_the_cpu(scheduler: str, use: Use, record_property: Keep) -> None:
    assert_near(*on_both(use, lambda: picture_of(sampler="Euler", scheduler=scheduler)), record_property)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("sampler", [one.label for one in SAMPLERS])
def test_every_sampler_draws_what_is_asked_for_in_16_bits(sampler: str, precision: str, use: Use) -> None:
    use(precision=precision)
    assert is_red_on_blue(picture_of(sampler=sampler, steps=40 if sampler == "DPM fast" else 20))


@cuda_alone
def test_models_run_in_16_bits_unless_told_otherwise() -> None:
    checkpoint = open_checkpoint("nano", "None", SdSettings())
    assert checkpoint.unet.dtype == torch.float16
    assert {weight.device for weight in checkpoint.unet.parameters()} == {torch.device(GPU)}


def test_a_batch_makes_the_pictures_of_single_runs(use: Use, record_property: Keep) -> None:
    use(precision="fp32")
    batch = draw(CIRCLE, checkpoint="nano", steps=12, batch_size=4, preview=False)
    singles = [picture_of(steps=12, seed=7 + index) for index in range(4)]
    assert_near(np.stack([pixels(one) for one in batch]), np.stack(singles), record_property)


@cuda_alone
@pytest.mark.parametrize("shape", [(4, 16, 16), (4, 64, 64), (4, 128, 96)])
def test_the_noise_of_an_nvidia_card_is_computed_on_any_device(shape: tuple[int, int, int]) -> None:
    made = [ImageNoise(shape, [7, 2**32 + 5], GPU, source) for source in ("GPU", "NV")]
    for _ in range(3):
        drawn, computed = (noise() for noise in made)
        assert torch.allclose(drawn, computed, atol=1e-4)


@pytest.mark.parametrize(
    "knobs",
    [
        {"noise": {"source": "GPU"}},
        {"noise": {"source": "NV"}},
        {"variation": {"seed": 9, "strength": 0.4}},
        {"variation": {"resize_from_width": 96, "resize_from_height": 96}},
        {"tiling": True},
        {"token_merging_ratio": 0.5, "width": 256, "height": 256},
        {"width": 200, "height": 136},
        {"cfg_scale": 1.0},
        {"previews": {"method": "Full"}, "preview": True},
        {"hires": {"enabled": True, "upscaler": "Latent", "steps": 6}},
        {"hires": {"enabled": True, "upscaler": "small", "steps": 6, "denoising_strength": 0.9}},
    ],
    ids=lambda knobs: "+".join(knobs),
)
def test_all_kinds_of_runs_in_16_bits(knobs: dict[str, Any], folder: Path) -> None:
    write_upscaler(folder)
    made = picture_of("a red circle AND a blue background, (blue:1.2)", sampler="DPM++ 2M SDE", steps=12, **knobs)
    assert 20 < made.std() < 120


@pytest.mark.parametrize("area", ["Whole picture", "Only masked"])
def test_a_masked_picture_changes_as_on_the_cpu_and_stays_around_the_mask(
    area: str, use: Use, record_property: Keep
) -> None:
    start = Image.new("RGB", (128, 128), (20, 30, 200))
    knobs = {"checkpoint": "nano", "steps": 20, "inpaint": {"area": area}, "denoising_strength": 0.9}

    def make() -> Any:
        mask = box_mask(start.size, (32, 32, 96, 96))
        return pixels(change(start, "a red circle on a blue background", mask, **knobs)[0])

    made, expected = on_both(use, make)
    assert_near(made, expected, record_property, mean=1.0)
    assert np.array_equal(made[:16], pixels(start)[:16])


@pytest.mark.parametrize(
    "settings",
    [
        {"offload": "models"},
        {"offload": "layers"},
        {"attention": "Sliced"},
        {"attention": "Sub-quadratic"},
        {"vae_mode": "slices"},
        {"vae_mode": "tiles"},
        {"offload": "layers", "attention": "Sub-quadratic", "vae_mode": "tiles"},
    ],
    ids=lambda settings: "+".join(settings.values()),
)
def test_saving_memory_makes_the_same_picture(settings: dict[str, Any], use: Use, record_property: Keep) -> None:
    use(precision="fp32")
    expected = picture_of()
    use(precision="fp32", **settings)
    assert_near(picture_of(), expected, record_property)
    use(precision="fp16", **settings)
    assert is_red_on_blue(picture_of())


@pytest.mark.parametrize("offload", ["nothing", "models", "layers"])
def test_weights_in_8_bits_draw_what_is_asked_for(offload: str, use: Use) -> None:
    use(storage="fp8", offload=offload)
    assert is_red_on_blue(picture_of())


@cuda_alone
def test_what_waits_in_main_memory_takes_none_of_the_gpu(use: Use, record_property: Keep) -> None:
    held = {}
    for offload in ("nothing", "models", "layers"):
        use(offload=offload)
        picture_of(steps=2)
        held[offload] = torch.cuda.memory_allocated(GPU) / MIB
        unload()
    record_property("held_mib", held)
    assert held["layers"] < held["nothing"]
    assert held["models"] < held["nothing"]


@cuda_alone
def test_unloading_gives_the_memory_back_and_another_checkpoint_takes_the_place_of_the_first(folder: Path) -> None:
    shutil.copytree(NANO, folder / "checkpoints" / "other")
    picture_of(steps=2)  # what CUDA's libraries keep for good is there from here on
    unload()
    before = torch.cuda.memory_allocated(GPU)
    picture_of(steps=2)
    one = torch.cuda.memory_allocated(GPU)
    picture_of(steps=2, checkpoint="other")
    assert len(checkpoint_store._kept) == 2
    assert torch.cuda.memory_allocated(GPU) - one < MIB
    assert is_red_on_blue(picture_of())
    unload()
    assert torch.cuda.memory_allocated(GPU) - before < MIB


@cuda_alone
def test_when_the_gpu_is_full_a_run_is_made_with_less_or_says_so(use: Use, record_property: Keep) -> None:
    large: dict[str, Any] = {"width": 1536, "height": 1536, "steps": 1, "sampler": "Euler"}
    total = torch.cuda.get_device_properties(GPU).total_memory
    peaks = {}
    for name, settings in (("whole", {}), ("small", {"vae_mode": "tiles", "attention": "Sub-quadratic"})):
        use(**settings)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(GPU)
        picture_of(**large)
        peaks[name] = torch.cuda.max_memory_reserved(GPU)
        unload()
    record_property("peak_mib", {name: peak // MIB for name, peak in peaks.items()})
    use()
    try:
        # Convolutions make do with less than they take; what they read and write alone is more than this.
        assert peaks["whole"] > peaks["small"] * 1.25
        torch.cuda.set_per_process_memory_fraction(peaks["small"] * 1.25 / total, GPU)
        (made,) = draw(CIRCLE, checkpoint="nano", preview=False, **large)
        torch.cuda.set_per_process_memory_fraction(peaks["small"] / 4 / total, GPU)
        unload()
        use(retry_with_less=False)
        with pytest.raises(torch.OutOfMemoryError):
            picture_of(**large)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, GPU)
    assert any("Memory ran out" in note for note in made.info["notes"])
    assert is_red_on_blue(picture_of())


def test_a_lora_changes_one_run_and_leaves_weights_that_can_be_trained(folder: Path, use: Use) -> None:
    write_lora(folder)
    before = picture_of(steps=6)
    assert np.abs(picture_of(f"{CIRCLE} <lora:strong:1>", steps=6) - before).max() > 0
    assert np.array_equal(picture_of(steps=6), before)
    learn(train_embedding, TrainEmbeddingParams)


def learn(train: Callable[..., Path], kind: Any, **knobs: Any) -> Path:
    """Train on two pictures for some steps, with a picture on the way, and return the file."""
    given = TrainingPictures([Image.new("RGB", (128, 128), colour) for colour in ("red", "blue")], ["red", "blue"])
    on_the_way = {"save_every": 4, "preview_every": 4}
    common = {"name": "thing", "checkpoint": "nano", "steps": 8, "on_the_way": on_the_way}
    return train(given, kind(**{**common, **knobs}), Progress())


@pytest.mark.parametrize("precision", ["fp16", "bf16", "fp32"])
def test_embeddings_and_hypernetworks_are_trained_and_used(precision: str, use: Use) -> None:
    use(precision=precision)
    plain = picture_of("a thing", steps=4)
    assert learn(train_embedding, TrainEmbeddingParams, learn_rate="0.05").is_file()
    assert np.abs(picture_of("a thing", steps=4) - plain).max() > 0
    assert learn(train_hypernetwork, TrainHypernetworkParams, name="mood", learn_rate="0.001").is_file()
    assert np.abs(picture_of("a star <hypernet:mood:1>", steps=4) - picture_of("a star", steps=4)).max() > 0


def test_a_second_model_takes_over(folder: Path) -> None:
    shutil.copytree(NANO, folder / "checkpoints" / "other")
    assert is_red_on_blue(picture_of(refiner={"checkpoint": "other", "switch_at": 0.5}))


def test_runs_show_previews_and_stop_when_told() -> None:
    progress = Recorded(wishes={6: "interrupt"})
    (made,) = draw(CIRCLE, progress, checkpoint="nano", steps=20)
    assert [len(progress.previews), progress.previews[0].size] == [6, (128, 128)]
    assert "interrupted" in made.info["notes"][0]
    with pytest.raises(JobCancelled):
        draw(CIRCLE, Recorded(cancel_after=2), checkpoint="nano")


def test_a_vae_without_range_is_run_in_32_bits_and_broken_models_are_said() -> None:
    checkpoint = open_checkpoint("nano", "Automatic", SdSettings())
    checkpoint.vae.half()
    with torch.no_grad():
        checkpoint.vae.decoder.conv_in.weight.fill_(torch.inf)
    (made,) = draw(CIRCLE, checkpoint="nano", steps=20)
    assert any("16 bits are too few" in note for note in made.info["notes"])
    assert is_red_on_blue(pixels(made))
    with torch.no_grad():
        checkpoint.unet.conv_out.weight.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="no numbers"):
        draw(CIRCLE, checkpoint="nano")

"""The job custom_code: what it may use, what comes out, what is told when it fails, and that it is off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from runs import Recorded, difference, draw, noisy
from stable_core.sdk import InvalidParams, JobCancelled, Progress
from stable_core_sd.params_scripts import CustomCodeParams
from stable_core_sd.plugin import plugin
from stable_core_sd.ports import CodeResult
from stable_core_sd.scripts import custom_code
from stable_core_sd.settings import SdSettings


@pytest.fixture(autouse=True)
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "settings", SdSettings(allow_code=True))


def run(code: str, prompt: Any = "a red circle", image: Any = None, progress: Progress | None = None) -> CodeResult:
    return custom_code(prompt, image, CustomCodeParams(code=code), progress or Progress())


def test_it_is_off_until_a_setting_turns_it_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(plugin, "settings", SdSettings())
    with pytest.raises(InvalidParams, match="allow_code") as refused:
        run(f"open({str(tmp_path / 'written')!r}, 'w')")
    assert "settings" in str(refused.value.hint)
    assert not (tmp_path / "written").exists()


def test_jobs_are_functions(tiny_models: Path) -> None:
    knobs = "checkpoint='tiny', steps=4, seed=7"
    made = run(f"return txt2img(prompt, {knobs})")
    assert difference(made.pictures[0], draw()[0]) == 0
    (twice,) = run(f"first = txt2img(prompt, {knobs})[0]\nupscale(first, scale=2)").pictures
    assert twice.size == (2 * draw()[0].width, 2 * draw()[0].height)
    both = run(f"txt2img(prompt, batch_size=2, {knobs}, previews={{'every': 2}})").pictures
    assert len(both) == 2
    changed = run("img2img(image, 'x', checkpoint='tiny', steps=2, denoising_strength=0.5)", image=noisy()).pictures
    assert len(changed) == 1
    others = {run("txt2img(prompt, checkpoint='tiny', steps=1)[0]").pictures[0].tobytes() for _ in range(2)}
    assert len(others) == 2  # a seed of -1 is random


def test_what_is_displayed_printed_and_returned() -> None:
    made = run("display(image)\nprint('seen')\ndisplay([image, (image,)], 'no picture')\n", image=noisy())
    assert len(made.pictures) == 3
    assert made.text == "seen\n"
    made = run("import math\ndef double(x):\n    return 2 * x\ndouble(math.floor(2.5))")
    assert (made.pictures, made.text) == ([], "4")
    assert run("return prompt\nprint('not reached')").text == "a red circle"
    assert run("if image is None:\n    return prompt", prompt=None) == CodeResult([], "")
    assert run("").text == ""
    assert run("(picture for picture in [image])", image=noisy()).pictures[0].size == (64, 64)
    assert run("tokenize(prompt)").text.startswith("Data(")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("x = 1\ny = (", "Line 2 of the code"),
        ("x = 1\n\nraise KeyError('lost')", "Line 3 of the code: KeyError: 'lost'"),
        ("def f():\n    return 1 / 0\n\nf()", "Line 2 of the code: ZeroDivisionError"),
        ("import sys\nsys.exit(3)", "Line 2 of the code: SystemExit: 3"),
        ("txt2img()", "Line 1 of the code: TypeError: txt2img needs prompt"),
        ("upscale(image, 2)", "upscale takes 1 inputs, got 2"),
        ("txt2img('a', stepps=3)", "Line 1 of the code: InvalidParams: stepps"),
        ("custom_code('a')", "Line 1 of the code: .*custom_code"),
    ],
)
def test_failures_name_the_line(code: str, told: str) -> None:
    with pytest.raises(InvalidParams, match=told):
        run(code)


def test_it_can_be_cancelled() -> None:
    with pytest.raises(JobCancelled):
        run("for step in range(10):\n    progress(step, 10)", progress=Recorded(cancel_after=3))


def test_a_picture_of_the_code_is_the_result() -> None:
    (made,) = run("from PIL import Image\nImage.new('RGB', (8, 8), 'red')").pictures
    assert made.getpixel((0, 0)) == (255, 0, 0)
    assert isinstance(made, Image.Image)

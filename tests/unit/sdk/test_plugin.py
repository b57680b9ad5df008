"""Plugin: announcing jobs, settings, hooks, and loading a plugin from a folder or a file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pydantic
import pytest

from stable_core import sdk
from stable_core.errors import BadAnnouncement
from stable_core.sdk import Field, Image, Job, JobSignature, Params, Plugin, Progress, Text
from stable_core.sdk.plugin import load_plugin


class P(Params):
    steps: int = Field(default=3, ge=1, description="Steps")


class Settings(Params):
    folder: str = Field(default="models", description="Folder")


def sample() -> Plugin:
    return Plugin("sample", settings=Settings, memory_mb=100)


def test_a_job_stays_a_plain_function() -> None:
    plugin = sample()

    @plugin.job
    def shout(prompt: Text, params: P, progress: Progress) -> Text:
        """Shout."""
        return prompt.upper() * params.steps

    assert shout("a", P(), Progress()) == "AAA"
    assert (shout.__name__, shout.__doc__) == ("shout", "Shout.")  # type: ignore[attr-defined]
    assert plugin.signatures["shout"] is shout.signature
    assert shout.signature.full_name == "sample.shout"
    assert shout.job("a", P(steps=2)) == Job(shout.signature, {"prompt": "a"}, P(steps=2))


def test_options_of_a_job() -> None:
    plugin = sample()

    @plugin.job(cached=False, timeout_seconds=2.5)
    def dice(params: P, progress: Progress) -> Text:
        return "4"

    told = dice.signature.to_dict()
    assert (told["cached"], told["timeout_seconds"]) == (False, 2.5)


def test_an_invocation_is_never_cached_and_can_be_called() -> None:
    plugin = sample()

    @plugin.job
    def shout(prompt: Text, params: P, progress: Progress) -> Text:
        return prompt.upper()

    @plugin.invocation
    def twice(prompt: Text, params: P) -> list[Job[Text]]:
        return [shout.job(shout.job(prompt, params))]

    assert (twice.signature.kind, twice.signature.cached) == ("invocation", False)
    assert twice("a", P())[0].inputs["prompt"] == shout.job("a", P())


def test_generated_jobs_are_announced_without_the_decorator() -> None:
    plugin = sample()
    for name in ("first", "second"):
        plugin.announce(JobSignature(name, lambda prompt, params, progress: prompt, {"prompt": Text}, Text, P))
    assert [signature.full_name for signature in plugin.signatures.values()] == ["sample.first", "sample.second"]


def test_a_name_is_announced_once() -> None:
    plugin = sample()
    plugin.announce(JobSignature("job", print, None, Text))
    with pytest.raises(BadAnnouncement, match="'job' twice"):
        plugin.announce(JobSignature("job", print, None, Text))


@pytest.mark.parametrize("name", ["Sample", "my-plugin", "", "a b", "../x"])
def test_names_of_plugins(name: str) -> None:
    with pytest.raises(BadAnnouncement, match="is no name for a plugin"):
        Plugin(name)


def test_settings_have_defaults_and_are_checked() -> None:
    plugin = sample()
    assert plugin.settings == Settings()
    plugin.configure({"folder": "other"})
    assert plugin.settings.folder == "other"
    with pytest.raises(pydantic.ValidationError):
        plugin.configure({"unknown": 1})
    assert Plugin("bare").settings == Params()


def test_hooks_run_in_order_and_stay_functions() -> None:
    plugin = sample()
    calls: list[str] = []

    @plugin.load
    def first() -> None:
        calls.append("first")

    @plugin.load
    def second() -> None:
        calls.append("second")

    @plugin.unload
    def last() -> None:
        calls.append("last")

    for hook in [*plugin.load_hooks, *plugin.unload_hooks]:
        hook()
    first()
    assert calls == ["first", "second", "last", "first"]


def test_the_announcement_is_json() -> None:
    plugin = sample()

    @plugin.job
    def upscale(image: Image, params: P, progress: Progress) -> Image:
        return image

    told = json.loads(json.dumps(plugin.to_dict()))
    assert (told["name"], told["memory_mb"]) == ("sample", 100)
    assert list(told["settings"]["properties"]) == ["folder"]
    assert [signature["name"] for signature in told["signatures"]] == ["sample.upscale"]


SOURCE = 'from stable_core.sdk import Plugin\nimport json\nplugin = Plugin("loaded")\n'


@pytest.fixture(autouse=True)
def own_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what a test imports."""
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "modules", sys.modules.copy())


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def test_load_a_single_file(tmp_path: Path) -> None:
    assert load_plugin(write(tmp_path / "my plugin.py", SOURCE)).name == "loaded"


def test_a_file_named_like_a_module_of_python_replaces_nothing(tmp_path: Path) -> None:
    load_plugin(write(tmp_path / "json.py", SOURCE))
    assert sys.modules["json"] is json


@pytest.mark.parametrize("below", [".", "src"])
def test_load_from_a_folder(tmp_path: Path, below: str) -> None:
    write(tmp_path / below / "of_a_folder" / "plugin.py", SOURCE)
    write(tmp_path / below / "of_a_folder" / "__init__.py", "")
    assert load_plugin(tmp_path, "of_a_folder.plugin:plugin").name == "loaded"


@pytest.mark.parametrize("text", ["x = 1", "plugin = 'no'"])
def test_without_a_plugin_object(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadAnnouncement, match="holds no Plugin object") as caught:
        load_plugin(write(tmp_path / "empty.py", text))
    assert 'Plugin("name")' in caught.value.hint


SKETCH = '''
from stable_core.sdk import Field, Image, Job, Params, Plugin, Progress, Text

plugin = Plugin("sd")

class Txt2ImgParams(Params):
    steps: int = Field(default=20, ge=1, le=150, description="Denoising steps")

class UpscaleParams(Params):
    scale: int = Field(default=2, ge=2, le=8, description="Enlargement factor")

@plugin.job
def txt2img(prompt: Text, params: Txt2ImgParams, progress: Progress) -> Image:
    """Make an image from a text prompt."""
    from .engine import sample                        # torch loads here, in the worker
    return sample(prompt, params, on_step=progress)   # progress(step, total, preview=…) raises JobCancelled

@plugin.job
def upscale(image: Image, params: UpscaleParams, progress: Progress) -> Image:
    """Enlarge an image."""
    return image.resize((image.width * params.scale, image.height * params.scale))

@plugin.invocation
def hires(prompt: Text, params: Txt2ImgParams) -> list[Job[Image]]:
    """Sketch small, then enlarge: one invocation, two jobs."""
    return [upscale.job(txt2img.job(prompt, params), UpscaleParams(scale=2))]
'''


@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
def test_the_sketch_of_the_plugin_guide_runs_as_written(tmp_path: Path, future: str) -> None:
    plugin = load_plugin(write(tmp_path / "sketch.py", future + SKETCH))
    assert list(plugin.signatures) == ["txt2img", "upscale", "hires"]
    hires = plugin.signatures["hires"]
    (large,) = hires.call({"prompt": "a cat"}, hires.params(), Progress())
    assert large.signature.name == "upscale"
    assert large.params.scale == 2
    assert large.inputs["image"].inputs == {"prompt": "a cat"}


def test_all_exported_names_are_sorted_and_there() -> None:
    assert sdk.__all__ == sorted(sdk.__all__, key=str)
    assert all(hasattr(sdk, name) for name in sdk.__all__)


def test_importing_the_sdk_is_light() -> None:
    code = "import stable_core.sdk, stable_core.sdk.codecs, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"torch", "numpy", "pytest", "asyncio", "sqlite3", "PIL.ImageOps", "PIL.PngImagePlugin"}
    assert not heavy & set(loaded)
    ours = {name for name in loaded if name.startswith("stable_core.")}
    assert {name for name in ours if not name.startswith("stable_core.sdk")} == {"stable_core.errors"}
    assert "stable_core.sdk.wiring" not in ours

"""The plugin contract as a pytest plugin: what every plugin must keep to, checked for free. It knows no results.

    pytest --stable-core-plugin my_plugin.plugin:plugin       or the plugin's folder or single file

Each job runs with its default params and tiny inputs; where these do not fit, a `conftest.py` gives others:

    def pytest_stable_core_example(signature):
        return {"inputs": {"prompt": "a red circle"}, "params": {"steps": 2}}
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import PIL.Image
import pydantic
import pytest

from stable_core.errors import JobCancelled
from stable_core.sdk.artifacts import Data, File
from stable_core.sdk.audio import Pcm, audio_from_pcm
from stable_core.sdk.codecs import encode
from stable_core.sdk.jobs import Job, JobSignature
from stable_core.sdk.params import Params, check_params
from stable_core.sdk.plugin import load_plugin
from stable_core.sdk.progress import Progress

ANNOUNCE_SECONDS = 2.0
"""The processor time within which a plugin is imported and announced."""

HEAVY_MODULES = ("torch", "numpy", "tensorflow", "jax", "diffusers", "transformers", "cv2", "scipy")
"""What plugin.py must not import: a palette of all jobs is drawn without waiting for these."""

Example = Callable[[], dict[str, Any] | None]

_ANNOUNCE = """
import json, sys, time
from pathlib import Path
from stable_core.sdk.plugin import load_plugin
announcement = load_plugin(Path(sys.argv[1]), sys.argv[2]).to_dict()
print()
print(json.dumps([announcement, time.process_time(), list(sys.modules)]))
"""


class Hooks:
    """What a plugin's conftest.py may define."""

    @pytest.hookspec(firstresult=True)
    def pytest_stable_core_example(self, signature: JobSignature) -> dict[str, Any] | None:
        """Return `{"inputs": {port: value}, "params": {name: value}}` for a quick run of this job, or a part of it."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let a conftest.py give example inputs."""
    pluginmanager.add_hookspecs(Hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the plugin."""
    what = "check the stable-core plugin contract of module:attribute, a plugin's folder or its single file"
    parser.addoption("--stable-core-plugin", action="append", default=[], metavar="PLUGIN", help=what)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the contract's checks of each named plugin to the tests."""
    for target in config.option.stable_core_plugin:
        try:
            items.extend(_checks(session, *_locate(target, config.rootpath)))
        except Exception as error:
            raise pytest.UsageError(f"{target} is no plugin: {type(error).__name__}: {error}") from error


def _locate(target: str, root: Path) -> tuple[Path, str]:
    """Return the folder or file and the `module:attribute` of a plugin."""
    path = root / target
    if path.is_dir():
        project = tomllib.loads((path / "pyproject.toml").read_text("utf-8"))["project"]
        return path, next(iter(project["entry-points"]["stable_core.plugins"].values()))
    return (path, "") if path.is_file() else (root, target)


def _checks(session: pytest.Session, source: Path, target: str) -> Iterator[pytest.Item]:
    plugin = load_plugin(source, target)
    checks: dict[str, Callable[[], None]] = {
        "announces_quickly": partial(_announces_quickly, source, target, plugin.to_dict()),
        "explains_settings": partial(_explains, plugin.settings_class),
    }
    for name, signature in plugin.signatures.items():
        example = partial(session.config.hook.pytest_stable_core_example, signature=signature)
        checks[f"{name}-explains"] = partial(_explains, signature.params, signature)
        checks[f"{name}-runs"] = partial(_runs, signature, example)
        if signature.kind == "job":
            checks[f"{name}-cancels"] = partial(_cancels, signature, example)
    for name, check in checks.items():
        yield ContractItem.from_parent(session, name=name, nodeid=f"{plugin.name}::{name}", check=check)


class ContractItem(pytest.Item):
    """One check of one plugin or job."""

    def __init__(self, *, check: Callable[[], None], **options: Any) -> None:
        super().__init__(**options)
        self._check = check

    def runtest(self) -> None:
        """Run the check."""
        self._check()

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Show the check by its name."""
        return self.path, None, self.nodeid


def _expect(is_kept: bool, broken: str) -> None:
    if not is_kept:
        pytest.fail(broken, pytrace=False)


def _announces_quickly(source: Path, target: str, announcement: dict[str, Any]) -> None:
    """A fresh interpreter announces the plugin in 2 s of processor time, as JSON, without heavy imports."""
    seen = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _ANNOUNCE, str(source), target]
    done = subprocess.run(command, env=seen, capture_output=True, text=True, check=False)
    _expect(done.returncode == 0, f"the plugin cannot be imported alone:\n{done.stderr}")
    told, seconds, modules = json.loads(done.stdout.splitlines()[-1])
    _expect(seconds < ANNOUNCE_SECONDS, f"announcing takes {seconds:.1f} s; import less")
    heavy = ", ".join(name for name in HEAVY_MODULES if name in modules)
    _expect(not heavy, f"importing the plugin imports {heavy}; import them inside the job functions")
    _expect(told == announcement, "the announcement differs from run to run, or is no JSON")


def _explains(params: type[Params], signature: JobSignature | None = None) -> None:
    """The job has a description; every knob has one too, in groups as well, and a default that is valid, or none."""
    if signature is not None:
        _expect(signature.to_dict()["title"] != "", f"{signature.name} has no docstring")
    for group in _with_groups(params):
        silent = ", ".join(name for name, knob in group.model_fields.items() if not knob.description)
        _expect(not silent, f"{group.__name__} has no description of {silent}")
        try:
            group.model_validate(dict(group.model_construct()))
        except pydantic.ValidationError as error:
            wrong = [f"{item['loc'][0]}: {item['msg']}" for item in error.errors() if item["type"] != "missing"]
            _expect(not wrong, f"{group.__name__} refuses its own defaults: {'; '.join(wrong)}")


def _with_groups(params: type[Params]) -> list[type[Params]]:
    """Return a params class and those that its knobs are made of."""
    found = [params]
    for group in found:  # grows meanwhile
        types = [knob.annotation for knob in group.model_fields.values()]
        for one in types:  # and so do these: `list[Group]` and `Group | None` are made of others
            types += get_args(one)
            if isinstance(one, type) and issubclass(one, Params) and one not in found:
                found.append(one)
    return found


def _runs(signature: JobSignature, example: Example) -> None:
    """The job runs, its progress rises to its total, and its outputs have the announced types."""
    progress = _Recorder()
    result = _call(signature, example, progress)
    if signature.kind == "invocation":
        jobs = result if isinstance(result, list) else [result]
        _expect(bool(jobs) and all(isinstance(job, Job) for job in jobs), f"{signature.name} returns no jobs")
        return
    for port, value in signature.outputs_of(result):
        encode(port.type, value)
    steps = [step for step, _ in progress.reports]
    _expect(bool(steps), f"{signature.name} never calls progress(step, total)")
    _expect(steps == sorted(steps), f"the progress of {signature.name} falls: {steps}")
    _expect(steps[-1] == progress.reports[-1][1], f"the progress of {signature.name} ends early")


def _cancels(signature: JobSignature, example: Example) -> None:
    """Cancelled before the start or after the first step, the job ends at its next call of progress."""
    for step in (0, 1):
        progress = _Recorder(cancel_after=step)
        has_ended = False
        try:
            list(signature.outputs_of(_call(signature, example, progress)))
        except JobCancelled:
            has_ended = True
        calls = progress.calls_after
        _expect(calls <= 1, f"{signature.name} goes on for {calls} steps after cancel; let JobCancelled pass")
        _expect(has_ended or calls == 0, f"{signature.name} swallows JobCancelled; let it pass")


def _call(signature: JobSignature, example: Example, progress: Progress) -> Any:
    given = example() or {}
    inputs = dict(given.get("inputs", {}))
    for port in signature.inputs:
        if port.name not in inputs:
            inputs[port.name] = [_tiny(port.type)] * 2 if port.is_list else _tiny(port.type)
    return signature.call(inputs, check_params(signature.params, given.get("params", {})), progress)


def _tiny(artifact_type: str) -> Any:
    values = {
        "text": "a red circle on a blue background",
        "image": PIL.Image.linear_gradient("L").resize((64, 64)).convert("RGB"),
        "mask": PIL.Image.radial_gradient("L").resize((64, 64)),
        "audio": audio_from_pcm(Pcm(bytes(3200), 16000)),
        "data": Data({}),
        "file": File(Path(__file__)),
    }
    _expect(artifact_type in values, f"a job that takes {artifact_type} needs an example: pytest_stable_core_example")
    return values[artifact_type]


class _Recorder(Progress):
    """Keeps every report, and cancels itself after some."""

    def __init__(self, cancel_after: int = -1) -> None:
        super().__init__(preview_seconds=0)
        self.reports: list[tuple[int, int]] = []
        self.calls_after = 0
        self._cancel_after = cancel_after
        self.is_cancelled = cancel_after == 0

    def __call__(self, step: int, total: int, *more: Any, **named: Any) -> None:
        self.calls_after += self.is_cancelled
        super().__call__(step, total, *more, **named)

    def report(self, step: int, total: int, message: str, preview: Any) -> None:
        """Keep the report."""
        self.reports.append((step, total))
        self.is_cancelled = len(self.reports) == self._cancel_after

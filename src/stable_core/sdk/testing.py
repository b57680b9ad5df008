"""The plugin contract as a pytest plugin: what every plugin must keep to, checked for free. It knows no results.

    pytest --stable-core-plugin my_plugin.plugin:plugin       or the plugin's folder or single file

The ini option `stable_core_plugin` names it once for all. Each job runs with its default params and tiny inputs;
where these do not fit, a `conftest.py` gives others:

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
from typing import Any

import PIL.Image
import pydantic
import pytest

from stable_core.errors import JobCancelled
from stable_core.sdk.artifacts import Data, File
from stable_core.sdk.codecs import Pcm, audio_from_pcm, encode
from stable_core.sdk.jobs import Job, JobSignature
from stable_core.sdk.params import Params, check_params
from stable_core.sdk.plugin import Plugin, load_plugin
from stable_core.sdk.progress import Progress

ANNOUNCE_SECONDS = 2.0
"""The processor time within which a plugin is imported and announced."""

HEAVY_MODULES = ("torch", "numpy", "tensorflow", "jax", "diffusers", "transformers", "cv2", "scipy")
"""What plugin.py must not import: a palette of all jobs is drawn without waiting for these."""

_ANNOUNCE = """
import json, sys, time
from pathlib import Path
from stable_core.sdk.plugin import load_plugin
announcement = load_plugin(Path(sys.argv[1]), sys.argv[2]).to_dict()
print()
print(json.dumps({"seconds": time.process_time(), "modules": list(sys.modules), "announcement": announcement}))
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
    parser.addini("stable_core_plugin", what, type="linelist", default=[])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the contract's checks of each named plugin to the tests."""
    for target in config.getoption("--stable-core-plugin") or config.getini("stable_core_plugin"):
        items.extend(_checks(session, target, config.rootpath))


def _checks(session: pytest.Session, target: str, root: Path) -> Iterator[pytest.Item]:
    try:
        contract = Contract(*_locate(target, root), example=session.config.hook.pytest_stable_core_example)
    except Exception as error:
        raise pytest.UsageError(f"{target} is no plugin: {type(error).__name__}: {error}") from error
    plugin = contract.plugin
    checks = {
        "announces_quickly": contract.announces_quickly,
        "explains_settings": partial(contract.explains, plugin.settings_class),
    }
    for signature in plugin.signatures.values():
        checks[f"{signature.name}-explains"] = partial(contract.explains_itself, signature)
        checks[f"{signature.name}-runs"] = partial(contract.runs, signature)
        if signature.kind == "job":
            checks[f"{signature.name}-cancels"] = partial(contract.cancels, signature)
    for name, check in checks.items():
        yield ContractItem.from_parent(session, name=name, nodeid=f"{plugin.name}::{name}", check=check)


def _locate(target: str, root: Path) -> tuple[Path, str]:
    """Return the folder or file and the `module:attribute` of a plugin."""
    path = root / target
    if path.is_dir():
        project = tomllib.loads((path / "pyproject.toml").read_text("utf-8"))["project"]
        return path, next(iter(project["entry-points"]["stable_core.plugins"].values()))
    return (path, "") if path.is_file() else (root, target)


class ContractItem(pytest.Item):
    """One check of one plugin or job."""

    def __init__(self, *, check: Callable[[], None], **options: Any) -> None:
        super().__init__(**options)
        self.check = check

    def runtest(self) -> None:
        """Run the check."""
        self.check()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Say what is broken; a traceback only where the plugin itself raised."""
        return str(excinfo.value) if excinfo.errisinstance(ContractBroken) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Show the check by its name."""
        return self.path, None, self.nodeid


class ContractBroken(AssertionError):
    """A plugin does not keep to the contract."""


class Contract:
    """The checks of one plugin, each a method that raises ContractBroken."""

    def __init__(self, source: Path, target: str, example: Callable[..., Any] = lambda signature: None) -> None:
        self.source = source
        self.target = target
        self.plugin: Plugin = load_plugin(source, target)
        self._example = example

    def announces_quickly(self) -> None:
        """A fresh interpreter announces the plugin in 2 s of processor time, as JSON, without heavy imports."""
        command = [sys.executable, "-c", _ANNOUNCE, str(self.source), self.target]
        seen = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, env=seen, capture_output=True, text=True, check=False)
        _expect(done.returncode == 0, f"the plugin cannot be imported alone:\n{done.stderr}")
        told = json.loads(done.stdout.splitlines()[-1])
        _expect(told["seconds"] < ANNOUNCE_SECONDS, f"announcing takes {told['seconds']:.1f} s; import less")
        heavy = [name for name in HEAVY_MODULES if name in told["modules"]]
        _expect(not heavy, f"importing the plugin imports {', '.join(heavy)}; import them inside the job functions")
        _expect(
            told["announcement"] == self.plugin.to_dict(), "the announcement differs from run to run, or is no JSON"
        )

    def explains(self, params: type[Params]) -> None:
        """Every knob has a description and a valid default."""
        schema = params.model_json_schema()
        silent = [name for name, knob in schema.get("properties", {}).items() if not knob.get("description")]
        _expect(not silent, f"{params.__name__} has no description of {', '.join(silent)}")
        defaults = {
            name: field.get_default(call_default_factory=True)
            for name, field in params.model_fields.items()
            if not field.is_required()
        }
        refused = _refused(params, defaults)
        _expect(not refused, f"{params.__name__} refuses its own defaults: {refused}")

    def explains_itself(self, signature: JobSignature) -> None:
        """The job has a description, and so has every knob."""
        _expect(signature.to_dict()["title"] != "", f"{signature.name} has no docstring")
        self.explains(signature.params)

    def runs(self, signature: JobSignature) -> None:
        """The job runs, its progress rises to its total, and its outputs have the announced types."""
        progress = _Recorder()
        result = self._call(signature, progress)
        if signature.kind == "invocation":
            jobs = result if isinstance(result, list) else [result]
            _expect(bool(jobs) and all(isinstance(job, Job) for job in jobs), f"{signature.name} returns no jobs")
            return
        for port, value in signature.outputs_of(result):
            encode(port.type, value)
        steps = [step for step, _ in progress.reports]
        _expect(bool(steps), f"{signature.name} never calls progress(step, total)")
        _expect(steps == sorted(steps), f"the progress of {signature.name} falls: {steps}")
        _expect(progress.reports[-1][0] == progress.reports[-1][1], f"the progress of {signature.name} ends early")

    def cancels(self, signature: JobSignature) -> None:
        """Cancelled before the start or after the first step, the job ends at its next call of progress."""
        for step in (0, 1):
            progress = _Recorder(cancel_after=step)
            has_ended = False
            try:
                for _ in signature.outputs_of(self._call(signature, progress)):
                    pass
            except JobCancelled:
                has_ended = True
            calls = progress.calls_after
            _expect(calls <= 1, f"{signature.name} goes on for {calls} steps after cancel; let JobCancelled pass")
            _expect(has_ended or calls == 0, f"{signature.name} swallows JobCancelled; let it pass")

    def _call(self, signature: JobSignature, progress: Progress) -> Any:
        example = self._example(signature=signature) or {}
        inputs = dict(example.get("inputs", {}))
        for port in signature.inputs:
            if port.name not in inputs:
                inputs[port.name] = [_tiny(port.type)] * 2 if port.is_list else _tiny(port.type)
        return signature.call(inputs, check_params(signature.params, example.get("params", {})), progress)


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


def _refused(params: type[Params], defaults: dict[str, Any]) -> str:
    try:
        params.model_validate(defaults)
    except pydantic.ValidationError as error:
        wrong = [item for item in error.errors() if item["type"] != "missing"]
        return "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in wrong)
    return ""


def _tiny(artifact_type: str) -> Any:
    """Return a small value of an artifact type.

    Raises:
        ContractBroken: only an example can give one.
    """
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


def _expect(is_kept: bool, broken: str) -> None:
    if not is_kept:
        raise ContractBroken(broken)

"""Any text-to-image pipeline of diffusers, run through its own call. It knows no single kind of pipeline."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from PIL import Image

from stable_core.sdk import InvalidParams, Progress
from stable_core_sd import device
from stable_core_sd.checkpoint_list import find_checkpoint
from stable_core_sd.checkpoint_store import Format
from stable_core_sd.diffusers_folder import read_json
from stable_core_sd.params_models import DiffusersParams
from stable_core_sd.settings import SdSettings

OWN_KNOBS = {
    "num_inference_steps": "steps",
    "negative_prompt": "negative_prompt",
    "width": "width",
    "height": "height",
    "num_images_per_prompt": "batch_size",
}
"""Arguments of pipelines that have a knob of their own, under the knob's name."""

_HANDLED = {"prompt", "generator", "output_type", "return_dict", "callback_on_step_end", *OWN_KNOBS}
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}
_whole_library: dict[str, ModuleType] = {}
_loaded: dict[tuple[object, ...], Any] = {}
"""The pipeline used last."""


def make_pictures(
    prompt: str, params: DiffusersParams, progress: Progress, settings: SdSettings
) -> Iterator[Image.Image]:
    """Yield the pictures of one call of a pipeline.

    Raises:
        InvalidParams: it is no text-to-image pipeline, or does not take what it was given.
        JobCancelled: out of `progress`, within one step.
    """
    progress(0, params.steps, f"Loading {params.model}")
    with whole_library() as diffusers:
        pipeline = _open_pipeline(find_checkpoint(params.model).path, diffusers, settings)
        arguments = call_arguments(pipeline, prompt, params)

        def on_step(_: Any, step: int, timestep: Any, given: dict[str, Any]) -> dict[str, Any]:
            progress(min(step + 1, params.steps), params.steps)
            return given

        if "callback_on_step_end" in _arguments_of(type(pipeline)):
            arguments["callback_on_step_end"] = on_step
        progress(0, params.steps, "")
        try:
            made = pipeline(**arguments)
        finally:
            pipeline.maybe_free_model_hooks()
    images = getattr(made, "images", None)
    if images is None:
        raise InvalidParams(f"{type(pipeline).__name__} makes no pictures.", "Choose a text-to-image pipeline.")
    progress(params.steps, params.steps)
    yield from images


def call_arguments(pipeline: Any, prompt: str, params: DiffusersParams) -> dict[str, Any]:
    """Return what a pipeline is called with: its share of the knobs, then what the person added.

    Raises:
        InvalidParams: an added argument is unknown, or has a knob of its own.
    """
    known = _arguments_of(type(pipeline))
    if "prompt" not in known:
        raise InvalidParams(f"{type(pipeline).__name__} does not take a prompt.", "Choose a text-to-image pipeline.")
    open_to_all = set(known) - _HANDLED
    if unknown := sorted(set(params.arguments) - open_to_all):
        raise InvalidParams(
            f"{type(pipeline).__name__} takes no argument {', '.join(unknown)} here.",
            f"It takes: {', '.join(sorted(open_to_all)) or 'none'}; sd.diffusers_schema describes them.",
        )
    values = {argument: getattr(params, knob) for argument, knob in OWN_KNOBS.items() if argument in known}
    arguments = {"prompt": prompt, **{name: value for name, value in values.items() if value}}
    if "generator" in known:
        seeds = range(params.seed, params.seed + params.batch_size)
        arguments["generator"] = [torch.Generator().manual_seed(seed) for seed in seeds]
    return {**arguments, **params.arguments}


def describe_pipeline(name: str) -> dict[str, Any]:
    """Return a JSON Schema of the arguments that a pipeline takes beside the knobs of the job.

    Raises:
        InvalidParams: it is no pipeline that this version of diffusers knows.
    """
    with whole_library() as diffusers:
        kind = _pipeline_class(find_checkpoint(name).path, diffusers)
        known = _arguments_of(kind)
        told = _descriptions(inspect.getdoc(kind.__call__) or "")
    properties = {}
    for argument, parameter in known.items():
        schema = _schema_of(parameter.annotation)
        if argument not in _HANDLED and schema is not None:
            default = {} if parameter.default is parameter.empty else {"default": parameter.default}
            properties[argument] = {**schema, **default, "description": told.get(argument, "")}
    return {
        "pipeline": kind.__name__,
        "knobs": [knob for argument, knob in OWN_KNOBS.items() if argument in known],
        "schema": {"type": "object", "properties": properties, "additionalProperties": False},
    }


def unload() -> None:
    """Forget the pipeline and give its memory back."""
    _loaded.clear()
    device.free_memory(device.choose_device())


@contextlib.contextmanager
def whole_library() -> Iterator[ModuleType]:
    """Import all of diffusers, which `model_classes` has imported in a lean way, and keep the two apart.

    diffusers decides once, at its import, what is installed. So inside this the modules of a second import stand in
    `sys.modules`; afterwards the lean ones are back.
    """
    lean = _take_out_modules()
    sys.modules.update(_whole_library)
    try:
        yield importlib.import_module("diffusers")
    finally:
        _whole_library.update(_take_out_modules())
        sys.modules.update(lean)


def _take_out_modules() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name == "diffusers" or name.startswith("diffusers.")]
    return {name: sys.modules.pop(name) for name in names}


def _open_pipeline(path: Path, diffusers: ModuleType, settings: SdSettings) -> Any:
    form = Format.chosen(settings)
    key = (path, form, settings.offload, *(file.stat().st_mtime_ns for file in sorted(path.rglob("*"))))
    if key not in _loaded:
        unload()
        kind = _pipeline_class(path, diffusers)
        try:
            pipeline = kind.from_pretrained(str(path), dtype=form.dtype, local_files_only=True)
        except (OSError, ValueError, ImportError) as error:
            raise InvalidParams(f"{path.name} cannot be loaded: {error}.", "Copy the folder again.") from None
        pipeline.set_progress_bar_config(disable=True)
        _place(pipeline, form, settings)
        _loaded[key] = pipeline
    return _loaded[key]


def _place(pipeline: Any, form: Format, settings: SdSettings) -> None:
    if form.device.type == "cpu" or settings.offload == "nothing":
        pipeline.to(form.device)
    elif settings.offload == "models":
        pipeline.enable_model_cpu_offload(device=form.device)
    else:
        pipeline.enable_sequential_cpu_offload(device=form.device)


def _pipeline_class(path: Path, diffusers: ModuleType) -> Any:
    if not path.is_dir():
        raise InvalidParams(f"{path.name} is no folder of a pipeline.", "The job sd.txt2img runs single files.")
    name = read_json(path / "model_index.json").get("_class_name", "")
    kind = getattr(diffusers, name, None) if isinstance(name, str) and name.endswith("Pipeline") else None
    if not (inspect.isclass(kind) and issubclass(kind, diffusers.DiffusionPipeline)):
        raise InvalidParams(
            f"diffusers {diffusers.__version__} has no pipeline {name!r}.", "The folder may need a newer version."
        )
    return kind


def _arguments_of(kind: Any) -> Mapping[str, inspect.Parameter]:
    parameters = list(inspect.signature(kind.__call__).parameters.values())[1:]
    return {one.name: one for one in parameters if one.kind not in {one.VAR_POSITIONAL, one.VAR_KEYWORD}}


def _schema_of(annotation: Any) -> dict[str, Any] | None:
    """Return the JSON Schema for a type, or None where a value cannot be written as JSON."""
    if annotation in _TYPES:
        return {"type": _TYPES[annotation]}
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {list, tuple}:
        item = _schema_of(inner[0]) if inner else {}
        return None if item is None else {"type": "array", "items": item}
    if origin is dict:
        return {"type": "object"}
    if origin in {typing.Union, types.UnionType}:
        choices = [_schema_of(one) for one in inner if one is not type(None)]
        possible = [one for one in choices if one is not None]
        return possible[0] if len(possible) == 1 else {"anyOf": possible} if possible else None
    return None


def _descriptions(documentation: str) -> dict[str, str]:
    """Return what a docstring says about each argument: a line `name (type)` and lines below it further in."""
    told: dict[str, list[str]] = {}
    name, margin = "", 0
    for line in documentation.splitlines():
        indent = len(line) - len(line.lstrip())
        if name and indent > margin:
            told[name].append(line.strip())
        elif found := re.match(r" +(\w+) \(.*\)", line):
            name, margin = found[1], indent
            told[name] = []
        elif line.strip():
            name = ""
    return {name: " ".join(lines) for name, lines in told.items()}

"""Params: the knobs of a job as a pydantic class whose JSON Schema every client draws. Not the wires: see artifacts."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, ValidationError, WithJsonSchema
from pydantic_core import PydanticUndefined

from stable_core.errors import BadAnnouncement, InvalidParams

Component = Literal["slider", "textarea", "seed", "mask", "color", "model", "password"]

MAX_SEED = 2**32 - 1

KIND_FOLDERS = {
    "checkpoints": ("checkpoints", "Stable-diffusion", "diffusers"),
    "loras": ("loras", "Lora", "LyCORIS"),
    "vae": ("vae", "VAE"),
    "embeddings": ("embeddings",),
    "hypernetworks": ("hypernetworks",),
    "upscale_models": ("upscale_models", "ESRGAN", "RealESRGAN"),
    "controlnet": ("controlnet", "ControlNet"),
}
"""Where A1111, ComfyUI and we keep each kind of model, below a models folder; other kinds are their own folder name."""

MODEL_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".onnx")


class Params(BaseModel):
    """The base of every params class: unknown names are refused and values are never changed after the check."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def Field(  # noqa: N802 - mirrors pydantic.Field, which plugin authors know
    default: Any = PydanticUndefined,
    *,
    component: Component | None = None,
    group: str = "",
    advanced: bool = False,
    unit: str = "",
    depends: dict[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Describe one knob: its default, its range and how a form shows it.

    `component`, `group`, `advanced`, `unit` and `depends` (shown only while other knobs have these values) become
    the `x-ui` hints of the JSON Schema; `options` are those of `pydantic.Field`: `description`, `ge`, `le` and so on.

    Raises:
        TypeError: an option is unknown, or `json_schema_extra` is no dict.
    """
    if unknown := options.keys() - _PYDANTIC_OPTIONS:
        raise TypeError(f"Field has no option {min(unknown)!r}")
    hints = {"component": component, "group": group, "advanced": advanced, "unit": unit, "depends": depends}
    more = dict(options.get("json_schema_extra") or {})
    ui = {**more.get("x-ui", {}), **{name: value for name, value in hints.items() if value}}
    if "default_factory" in options:  # clients and the core complete params by the schema, which shows no factory
        default = options.pop("default_factory")()
    if ui:  # merged, because the type may have hints of its own, as Seed and ModelFile do
        options["json_schema_extra"] = lambda schema: schema.update({**more, "x-ui": {**schema.get("x-ui", {}), **ui}})
    field: Any = pydantic.Field(default, **options)
    return field


_PYDANTIC_OPTIONS = inspect.signature(pydantic.Field).parameters.keys()


class _Hints:
    """Adds `x-ui` hints to the JSON Schema of an annotated type."""

    def __init__(self, component: Component, **more: Any) -> None:
        self.ui = {"component": component, **more}

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {**handler(schema), "x-ui": self.ui}


class ModelFile(_Hints):
    """Mark a string param as the name of a model file of one kind: `Annotated[str, ModelFile("checkpoints")]`.

    The choices are not announced: the core lists the folders of that kind, so a new file appears at once.
    """

    def __init__(self, kind: str) -> None:
        super().__init__("model", kind=kind)


class Counted(_Hints):
    """Mark a text, param or port, as counted while it is typed: `Annotated[Text, Counted("sd.tokenize")]`.

    `job` takes the text and `params`, and knobs of its own that are called as knobs beside the text take their values.
    It answers data: `tokens`, and if it likes `limit`, `cut` (the text that is too much) and `notes` (sentences).
    """

    def __init__(self, job: str, **params: Any) -> None:
        super().__init__("textarea", counter={"job": job, "params": params})


Seed = Annotated[int, pydantic.Field(ge=-1, le=MAX_SEED), _Hints("seed")]
"""A random seed; -1 asks for a random one, chosen when the job is submitted, so every job can run again."""

_PASSWORD = {"type": "string", "format": "password", "writeOnly": True, "x-ui": {"component": "password"}}
Secret = Annotated[str, WithJsonSchema(_PASSWORD)]
"""A password or token; only for plugin settings, never for params: it appears in no job, picture, log or event."""


def schema_without_secrets(params: type[Params], job: str) -> dict[str, Any]:
    """Return the JSON Schema of a job's params.

    Raises:
        BadAnnouncement: a Secret is among them, which would be stored with each run.
    """
    schema = params.model_json_schema()
    if _has_secret(schema):
        hint = "Params are stored and shown: put it into the plugin's settings."
        raise BadAnnouncement(f"{job}: a param is a Secret", hint)
    return schema


def _has_secret(schema: Any) -> bool:
    if isinstance(schema, dict):
        return schema.get("writeOnly") is True or any(map(_has_secret, schema.values()))
    return isinstance(schema, list) and any(map(_has_secret, schema))


bundled_roots: list[Path] = []
"""The models folders that plugins bring; `Plugin(models=…)` adds its own."""


def model_files(
    kind: str, roots: list[Path] | None = None, suffixes: tuple[str, ...] = MODEL_SUFFIXES
) -> dict[str, Path]:
    """Return the models of one kind by name: files with one of the endings, without it, and diffusers folders.

    A diffusers folder right below a root counts as a checkpoint. The first root that has a name wins: the home
    folder, then the folders named in the settings, then what plugins bring.
    """
    if roots is None:
        named = os.environ.get("STABLE_CORE_MODELS", "")
        roots = [Path(root) for root in named.split(os.pathsep) if root] + bundled_roots
    found: dict[str, Path] = {}
    for root in roots:
        for folder in (root / name for name in KIND_FOLDERS.get(kind, (kind,))):
            pipelines = _pipelines(folder)
            files = [path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.parent not in pipelines]
            for path in sorted(path for path in files if path.suffix.lower() in suffixes and path.is_file()):
                found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
            found = {**{path.name: path for path in pipelines}, **found}
        if kind == "checkpoints":
            found = {**{path.name: path for path in _pipelines(root)}, **found}
    return found


def _pipelines(folder: Path) -> list[Path]:
    """List the diffusers folders right below `folder`."""
    return sorted(index.parent for index in folder.glob("*/model_index.json"))


def find_model_file(kind: str, name: str, roots: list[Path] | None = None) -> Path:
    """Return the path of the model called `name`; its ending may be given or left out.

    Raises:
        InvalidParams: there is none; the hint lists those there are.
    """
    found = model_files(kind, roots)
    path = found.get(name) or next((path for path in found.values() if path.name == name), None)
    if path is None:
        hint = f"Known: {', '.join(sorted(found)) or 'none yet'}. New files go to models/{kind}/."
        raise InvalidParams(f"There is no model {name!r} among the {kind}.", hint)
    return path


def check_params(cls: type[Params], values: dict[str, Any]) -> Params:
    """Return `values` as an instance of `cls`.

    Raises:
        InvalidParams: naming every wrong param and what is wrong with it.
    """
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        hint = f"Params are: {', '.join(cls.model_fields) or 'none'}."
        raise InvalidParams(describe_validation(error), hint) from None


def describe_validation(error: ValidationError) -> str:
    """Return one line that names every wrong value of a pydantic error."""
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'params'}: {item['msg']}" for item in error.errors())

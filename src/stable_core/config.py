"""Config: where the home folder is and every setting with its default and help. It reads no command line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import BeforeValidator, ConfigDict, ValidationError

from stable_core.errors import ConfigError
from stable_core.protocol import new_file
from stable_core.sdk.params import Field, Params, Secret, check_params, describe_validation


class Knob(Params):
    """How the user wants a knob of a form; further names are the hints of `sdk.Field`, and `step`."""

    model_config = ConfigDict(extra="allow")

    default: Any = None
    minimum: int | float = 0
    maximum: int | float = 0


Forms = Annotated[
    dict[str, dict[str, Knob]], BeforeValidator(lambda given: json.loads(given) if isinstance(given, str) else given)
]


class Settings(Params):
    """Every setting of the core; the settings page, docs/settings.md and STABLE_CORE_* variables follow from it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    host: str = Field(default="127.0.0.1", group="Server")
    """Address to listen on; any but this machine's own needs a token."""
    port: int = Field(default=7860, ge=0, le=65535, group="Server")
    """Port to listen on; 0 takes a free one."""
    token: Secret = Field(default="", component="password", group="Server")
    """What clients must send when it is not empty."""
    upload_limit_mb: int = Field(default=1024, ge=1, unit="MB", group="Server")
    """Largest upload."""
    models_folders: list[str] = Field(default=[], group="Files")
    """More models folders, laid out as those of A1111 or ComfyUI."""
    outputs_folder: str = Field(default="", group="Files")
    """Where results are saved; empty means outputs/ in the home folder."""
    save_results: bool = Field(default=True, group="Files")
    """Save every result but data as an ordinary file."""
    image_format: Literal["png", "jpeg", "webp"] = Field(default="png", group="Files", depends={"save_results": True})
    """Format of saved pictures."""
    embed_parameters: bool = Field(default=True, group="Files", depends={"save_results": True})
    """Write the generation data into saved files."""
    cache_results: bool = Field(default=True, group="Jobs")
    """Take the result of an unchanged job from the history instead of running it again."""
    job_timeout_seconds: float = Field(default=0, ge=0, unit="s", group="Jobs")
    """Longest run of a job; 0 sets no limit."""
    cancel_grace_seconds: float = Field(default=3, ge=0, unit="s", group="Jobs", advanced=True)
    """How long a cancelled job may react before its worker is stopped."""
    max_attempts: int = Field(default=2, ge=1, le=10, group="Jobs", advanced=True)
    """How often a job is tried whose worker dies."""
    event_days: int = Field(default=30, ge=1, unit="days", group="Jobs", advanced=True)
    """How long events and logs are kept, and environments that no plugin needs any more."""
    artifact_grace_hours: float = Field(default=24, ge=0, unit="h", group="Jobs", advanced=True)
    """How long artifacts are kept that no job refers to."""
    durability: Literal["normal", "full"] = Field(default="normal", group="Jobs", advanced=True)
    """With full, an accepted job survives a power cut too; slower."""
    forms: Forms = Field(default={}, group="Jobs", advanced=True)
    """Other defaults, narrower ranges and other steps of knobs, by job and knob."""
    devices: str = Field(default="auto", group="Workers")
    """Where jobs run: auto, cpu, or a list such as cuda:0,cuda:1."""
    device_memory_mb: int = Field(default=0, ge=0, unit="MB", group="Workers", advanced=True)
    """Memory to plan with on each device; 0 measures it."""
    worker_start_seconds: float = Field(default=120, gt=0, unit="s", group="Workers", advanced=True)
    """Longest start of a worker."""
    worker_idle_seconds: float = Field(default=300, ge=0, unit="s", group="Workers")
    """How long an idle worker keeps its memory; 0 means for ever."""


def home_folder() -> Path:
    """Return the home folder, created when missing: STABLE_CORE_HOME, else the platform's data folder.

    Raises:
        ConfigError: it cannot be created.
    """
    named = os.environ.get("STABLE_CORE_HOME") or platformdirs.user_data_path("stable-core", appauthor=False)
    home = Path(named).expanduser().absolute()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        hint = "Choose another one with --home or STABLE_CORE_HOME."
        raise ConfigError(f"The home folder {home} cannot be made: {error.strerror}", hint) from None
    return home


class Config:
    """The settings of one home folder: the defaults, under settings.json, under STABLE_CORE_<NAME> variables."""

    def __init__(self, home: Path) -> None:
        """Load the settings.

        Raises:
            ConfigError: settings.json or a variable is wrong; the message says which line or which name.
        """
        self.home = home
        self.path = home / "settings.json"
        self._saved = self._load()
        self._named = _variables()
        self.settings = self._checked()

    def update(self, values: dict[str, Any]) -> Settings:
        """Check, save and apply some settings; None puts one back to its default. A STABLE_CORE_* variable still wins.

        Raises:
            InvalidParams: naming every wrong value; nothing is saved.
        """
        core = _merged(self._saved["core"], values)
        check_params(Settings, core)
        self._save({**self._saved, "core": core})
        self.settings = self._checked()
        return self.settings

    def plugin_settings(self, name: str) -> dict[str, Any]:
        """Return the saved settings of one plugin; its Secret values live here only."""
        return dict(self._saved["plugins"].get(name, {}))

    def update_plugin_settings(self, name: str, values: dict[str, Any]) -> None:
        """Save some settings of one plugin, already checked by the caller; None puts one back to its default."""
        merged = _merged(self.plugin_settings(name), values)
        self._save({**self._saved, "plugins": {**self._saved["plugins"], name: merged}})

    def model_roots(self) -> list[Path]:
        """Return the models folders, the strongest first: the home folder's own, then those of the settings."""
        return [self.home / "models", *(Path(folder).expanduser() for folder in self.settings.models_folders)]

    def outputs_folder(self) -> Path:
        """Return where results are saved as ordinary files."""
        named = self.settings.outputs_folder
        return Path(named).expanduser() if named else self.home / "outputs"

    def _checked(self) -> Settings:
        try:
            return Settings.model_validate({**self._saved["core"], **self._named})
        except ValidationError as error:
            name = str(error.errors()[0]["loc"][0])
            where = f"STABLE_CORE_{name.upper()}" if name in self._named else f"{self.path}, line {self._line_of(name)}"
            hint = "docs/settings.md lists every setting."
            raise ConfigError(f"{where}: {describe_validation(error)}", hint) from None

    def _load(self) -> dict[str, dict[str, Any]]:
        try:
            saved = json.loads(self.path.read_text("utf-8"))
            if not isinstance(saved, dict) or not all(isinstance(part, dict) for part in saved.values()):
                raise ValueError("line 1: this is no object of objects")
        except FileNotFoundError:
            saved = {}
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.path} cannot be read: {error}", "Mend or remove the file.") from None
        return {"core": {}, "plugins": {}, **saved}

    def _line_of(self, name: str) -> int:
        lines = self.path.read_text("utf-8").splitlines()
        return next((number for number, line in enumerate(lines, 1) if f'"{name}"' in line), 1)

    def _save(self, saved: dict[str, dict[str, Any]]) -> None:
        """Write the file in one step, readable by its owner only: tokens are in it."""
        try:
            with new_file(self.home) as new:
                with new.open("w", encoding="utf-8") as file:
                    json.dump(saved, file, indent=2)
                    file.flush()
                    os.fsync(file.fileno())
                new.replace(self.path)
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be written: {error.strerror}", "Is the disk full?") from None
        self._saved = saved


def _merged(saved: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**saved, **values}.items() if value is not None}


def _variables() -> dict[str, Any]:
    """Return the settings given as STABLE_CORE_<NAME>; a list is separated as PATH is."""
    found: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        if (value := os.environ.get(f"STABLE_CORE_{name.upper()}")) is not None:
            found[name] = value.split(os.pathsep) if field.annotation == list[str] else value
    return found

"""Plugin: what a plugin author creates once per plugin and hangs jobs on. It runs nothing; the worker does."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stable_core.errors import BadAnnouncement
from stable_core.sdk.jobs import JobSignature
from stable_core.sdk.params import Params, bundled_roots
from stable_core.sdk.signatures import read_signature

if TYPE_CHECKING:
    from stable_core.sdk.wiring import InvocationDecorator, JobDecorator

Hook = TypeVar("Hook", bound=Callable[[], Any])


class Plugin:
    """The plugin's name, its announced signatures, its settings and its load and unload hooks.

    Args:
        name: a lowercase Python module name; a job's full name is `name.job`.
        settings: a Params class drawn on the settings page; the current values, outside a worker the defaults, are
            `plugin.settings`.
        models: a folder with model files that come with the plugin, laid out as a models folder.
        memory_mb: what a loaded worker of this plugin needs on its device, in MiB; 0 = hardly any.
    """

    def __init__(
        self, name: str, *, settings: type[Params] | None = None, models: Path | None = None, memory_mb: int = 0
    ) -> None:
        if not name.isidentifier() or not name.islower():
            raise BadAnnouncement(f"{name!r} is no name for a plugin", "Use a lowercase Python module name.")
        self.name = name
        self.signatures: dict[str, JobSignature] = {}
        self.settings_class = settings or Params
        self.settings: Any = self.settings_class.model_construct()
        self.memory_mb = memory_mb
        self.models = models
        self.load_hooks: list[Callable[[], Any]] = []
        self.unload_hooks: list[Callable[[], Any]] = []
        if models is not None:
            bundled_roots.append(models)

        self.job: JobDecorator = self._decorator("job")
        self.invocation: InvocationDecorator = self._decorator("invocation", cached=False)

    def configure(self, values: dict[str, Any]) -> None:
        """Take new settings values; the worker calls this before each job."""
        self.settings = self.settings_class.model_validate(values)

    def announce(self, signature: JobSignature) -> JobSignature:
        """Add a signature; `@plugin.job` is sugar over this. Use it for generated jobs.

        Raises:
            BadAnnouncement: two jobs have the same name.
        """
        if signature.name in self.signatures:
            raise BadAnnouncement(f"{self.name} announces {signature.name!r} twice")
        object.__setattr__(signature, "plugin", self.name)
        self.signatures[signature.name] = signature
        return signature

    def _decorator(self, kind: str, **options: Any) -> Any:
        """Return a decorator that gives a function its `signature` and `.job(...)`; `wiring` types the latter."""

        def announce(function: Any = None, /, **more: Any) -> Any:
            if function is None:
                return self._decorator(kind, **options, **more)
            function.signature = self.announce(read_signature(function, kind, **options))
            function.job = function.signature.job
            return function

        return announce

    def load(self, hook: Hook) -> Hook:
        """Run this function once when the worker starts, before its first job."""
        self.load_hooks.append(hook)
        return hook

    def unload(self, hook: Hook) -> Hook:
        """Run this function to give memory back; a process exit does the rest."""
        self.unload_hooks.append(hook)
        return hook

    def to_dict(self) -> dict[str, Any]:
        """Return the announcement of the whole plugin."""
        return {
            "name": self.name,
            "memory_mb": self.memory_mb,
            "settings": self.settings_class.model_json_schema(),
            "signatures": [signature.to_dict() for signature in self.signatures.values()],
        }


def load_plugin(source: Path, target: str = "") -> Plugin:
    """Import a plugin and return its Plugin object.

    Args:
        source: the single file, or the folder that holds the module.
        target: `module:attribute` below the folder; not needed for a single file.

    Raises:
        BadAnnouncement: the module holds no Plugin.
    """
    if source.is_file():
        name = f"{__name__}.{source.stem}"  # a name of its own: a file called json.py must not replace json
        spec: Any = importlib.util.spec_from_file_location(name, source)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        code = compile(source.read_bytes(), source, "exec")  # not from __pycache__, which takes two quick edits for one
        exec(code, vars(module))
        found = next((value for value in vars(module).values() if isinstance(value, Plugin)), None)
    else:
        sys.path[:0] = [str(folder) for folder in (source, source / "src") if folder.is_dir()]
        module_name, _, attribute = target.partition(":")
        found = getattr(importlib.import_module(module_name), attribute or "plugin", None)
    if not isinstance(found, Plugin):
        hint = 'Create one at module level: plugin = Plugin("name").'
        raise BadAnnouncement(f"{source.name} holds no Plugin object", hint)
    return found

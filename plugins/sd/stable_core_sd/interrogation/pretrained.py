"""Models in the layout of transformers: found in the models folders, loaded, kept between runs. It runs none.

Only the jobs that need them import transformers, which takes three seconds of CPU time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from stable_core.sdk import InvalidParams, model_files
from stable_core_sd import device, model_classes
from stable_core_sd.checkpoint_store import Format
from stable_core_sd.recent import Recent

kept: Recent[Any] = Recent(2)
"""The models used last, in main memory."""


def find_pretrained(kind: str, name: str, architecture: str, what: str) -> Path:
    """Return the folder of the model called `name`, or the file if it is no folder of transformers.

    Args:
        kind: the folder below a models folder.
        name: empty is the first one there is, folders before files.
        architecture: `model_type` in the folder's `config.json`.
        what: what a person has to put there if there is none.

    Raises:
        InvalidParams: there is none of that name, or none at all.
    """
    found: dict[str, Path] = {}
    for label, path in model_files(kind).items():
        folder = path.parent
        if not (folder / "config.json").is_file():
            found.setdefault(label, path)
        elif model_type(folder) == architecture:
            found.setdefault(label.rpartition("/")[0] or folder.name, folder)
            found.setdefault(label, folder)  # the name that lists of model files show
    if not found:
        raise InvalidParams(f"There is no model in models/{kind}/.", f"Put {what} there.")
    if name and name not in found:
        raise InvalidParams(
            f"There is no model {name!r} in models/{kind}/.", f"Known: {', '.join(sorted(found))}. Or put {what} there."
        )
    folders = (path for path in found.values() if path.is_dir())
    return found[name] if name else next(folders, next(iter(found.values())))


def model_type(folder: Path) -> str:
    """Return which architecture the `config.json` of a folder names; empty if it cannot be read."""
    try:
        read = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    return str(read.get("model_type", "")) if isinstance(read, dict) else ""


def load_pretrained(
    architecture: str, source: Path, form: Format, weights: Mapping[str, Tensor] | None = None, config: Any = None
) -> Any:
    """Return a model of transformers, in main memory and ready to run.

    Args:
        architecture: the class in transformers.
        source: a folder, or the file that `weights` and `config` are from.

    Raises:
        InvalidParams: files are missing, cut off or of another model.
    """
    kind: Any = getattr(library(), architecture)
    given = {} if weights is None else {"state_dict": dict(weights), "config": config}
    try:
        model, told = kind.from_pretrained(
            None if given else str(source), dtype=form.dtype, local_files_only=True, output_loading_info=True, **given
        )
    except Exception as error:  # noqa: BLE001 - a folder can be wrong in any way, and each reader says it differently
        raise InvalidParams(f"{source} cannot be loaded: {error}", "Copy it again.") from None
    wrong = sorted(told["missing_keys"]) or sorted(str(key) for key in told["mismatched_keys"])
    if wrong:
        raise InvalidParams(
            f"{source} is no whole {architecture}: {wrong[0]} is missing or of another shape.", "Copy it again."
        )
    return model.eval().requires_grad_(False)


def library() -> ModuleType:
    """Import transformers, which stays offline and quiet."""
    assert model_classes  # its import tells the libraries to stay offline
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    return transformers


@contextmanager
def on_device(model: nn.Module, form: Format) -> Iterator[nn.Module]:
    """Have a model on the device for a while; afterwards it waits in main memory."""
    try:
        yield model.to(form.device)
    finally:
        model.to("cpu")
        device.free_memory(form.device)


def unload() -> None:
    """Forget the models; they are in main memory."""
    kept.clear()

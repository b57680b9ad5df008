"""One merge from names to a new file: what takes part and where the result goes. The arithmetic is in merging."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from stable_core.sdk import InvalidParams, Progress
from stable_core_sd import hashes
from stable_core_sd.checkpoint_list import CheckpointFile, find_checkpoint, find_vae
from stable_core_sd.diffusers_folder import weight_files
from stable_core_sd.merge_metadata import ParentFacts, metadata_of_merge, parsed_metadata
from stable_core_sd.merging import (
    Parents,
    Recipe,
    Tensors,
    check_parents,
    default_name,
    merged_names,
    merged_tensor,
    special_ending,
)
from stable_core_sd.params_models import MergeParams
from stable_core_sd.tensor_files import TensorFiles
from stable_core_sd.tensor_writer import write_safetensors

_OLD_TEXT_NAME = re.compile(r"cond_stage_model\.transformer\.(?=embeddings\.|encoder\.|final_layer_norm\.)")
_PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")
_WHOLE_FOLDER = ("*.json", "*.txt", "*.md")


class NamedTensors(Mapping[str, torch.Tensor]):
    """The tensors of a file under today's names; the oldest files lack a part in those of the text encoder."""

    def __init__(self, files: TensorFiles, reads: bool = True) -> None:
        """Return tensors without numbers, on the meta device, unless `reads`."""
        self._files, self._reads = files, reads
        self._stored = {_OLD_TEXT_NAME.sub("cond_stage_model.transformer.text_model.", name): name for name in files}

    def __getitem__(self, name: str) -> torch.Tensor:
        """Return a tensor."""
        stored = self._stored[name]
        return self._files.copy(stored) if self._reads else self._files.empty(stored)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._stored)

    def __len__(self) -> int:
        """Count the tensors."""
        return len(self._stored)

    def without_numbers(self) -> NamedTensors:
        """Return the same with shapes and types only."""
        return NamedTensors(self._files, reads=False)


def merge(params: MergeParams, progress: Progress) -> dict[str, Any]:
    """Write the merged model into the first models folder and return its name and path.

    Raises:
        InvalidParams: models are missing or do not fit each other, or there is a file of that name.
    """
    recipe = recipe_of(params)
    check_parents(recipe, bool(params.secondary), bool(params.tertiary))
    names = [params.primary, params.secondary, params.tertiary][: len(recipe.needs)]
    models = [find_checkpoint(name) for name in names]
    paths = [one.path for one in models]
    if any(path.is_dir() for path in paths):
        return _merge_folders(params, recipe, models, progress)
    files = [TensorFiles([path]) for path in paths]
    vae_path = find_vae(params.vae, paths[0])
    vae = NamedTensors(TensorFiles([vae_path])) if vae_path else None
    parents = Parents.of([NamedTensors(one) for one in files], vae)
    shapes = shapes_of(parents, recipe)
    ending = special_ending(_without_numbers(parents), recipe)
    path = output_path(params, recipe, models, f"{ending}.{params.format}")
    progress(0, len(shapes), "Reading the hashes of the models")
    facts = [_facts(path, one) for path, one in zip(paths, files, strict=True)]
    metadata = metadata_of_merge(params, facts, ending)
    if params.format == "ckpt":
        _write_pickle(path, parents, recipe, list(shapes), progress)
    else:
        write_safetensors(
            path,
            shapes,
            _reader(parents, recipe),
            metadata,
            lambda count: progress(count, len(shapes), f"Merging {path.stem}"),
        )
    _copy_config(params, paths, path)
    return _result(path, params)


def recipe_of(params: MergeParams) -> Recipe:
    """Return the recipe that the knobs describe.

    Raises:
        InvalidParams: `discard_weights` is no regular expression.
    """
    try:
        re.compile(params.discard_weights)
    except re.error as error:
        raise InvalidParams(
            f"discard_weights is no regular expression: {error}.", "Escape special characters with a backslash."
        ) from None
    return Recipe(params.method, params.multiplier, params.save_as_half, params.discard_weights)


def shapes_of(parents: Parents, recipe: Recipe) -> dict[str, torch.Tensor]:
    """Return every name of the result with its type and shape, without reading a number.

    Raises:
        InvalidParams: shapes do not fit.
    """
    empty = _without_numbers(parents)
    return {name: merged_tensor(name, empty, recipe) for name in merged_names(empty, recipe)}


def output_path(params: MergeParams, recipe: Recipe, models: list[CheckpointFile], ending: str) -> Path:
    """Return where the result goes: `checkpoints/` in the first models folder.

    Raises:
        InvalidParams: there is no models folder, the name leads elsewhere, or such a file exists.
    """
    folder = models_folder("checkpoints")
    name = params.name or default_name(recipe, [one.model_name for one in models])
    path = folder / (name + ending)
    if not path.resolve().is_relative_to(folder.resolve()) or path == folder:
        raise InvalidParams(f"{name!r} is no file name.", "Choose a name without dots and slashes at its start.")
    if path.exists() and not params.overwrite:
        raise InvalidParams(f"{path.name} exists already.", "Choose another name, or set overwrite.")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def models_folder(kind: str) -> Path:
    """Return where new models of a kind are written: below the first models folder, which is the home folder's.

    Raises:
        InvalidParams: there is no models folder.
    """
    first = os.environ.get("STABLE_CORE_MODELS", "").split(os.pathsep)[0]
    if not first:
        raise InvalidParams("There is no models folder to write to.", "Set STABLE_CORE_MODELS to one.")
    return Path(first) / kind


def _merge_folders(
    params: MergeParams, recipe: Recipe, models: list[CheckpointFile], progress: Progress
) -> dict[str, Any]:
    """Merge diffusers folders, part by part, into a new one."""
    paths = [one.path for one in models]
    if not all(path.is_dir() for path in paths):
        raise InvalidParams("A folder cannot be merged with a single file.", "Choose models of the same layout.")
    if params.vae:
        raise InvalidParams("A VAE cannot be baked into a folder.", "Copy it over the folder's vae/.")
    recipe = replace(recipe, merges_all=True)
    parts = [part for part in _PARTS if (paths[0] / part).is_dir()]
    path = output_path(params, recipe, models, "")
    half_written = path.with_name(path.name + ".part")
    shutil.rmtree(half_written, ignore_errors=True)
    try:
        for index, part in enumerate(parts):
            progress(index, len(parts), f"Merging {part}")
            files = [TensorFiles(weight_files(folder / part)) for folder in paths]
            parents = Parents.of([NamedTensors(one) for one in files])
            name = "model" if part.startswith("text_encoder") else "diffusion_pytorch_model"
            target = half_written / part / f"{name}.safetensors"
            target.parent.mkdir(parents=True)
            shapes = shapes_of(parents, recipe)
            write_safetensors(target, shapes, _reader(parents, recipe), {"format": "pt"})
        for file in (file for pattern in _WHOLE_FOLDER for file in paths[0].rglob(pattern)):
            if not file.name.endswith(".index.json"):
                target = half_written / file.relative_to(paths[0])
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
        if path.exists():
            shutil.rmtree(path)
        half_written.replace(path)
    finally:
        shutil.rmtree(half_written, ignore_errors=True)
    progress(len(parts), len(parts))
    return _result(path, params)


def _reader(parents: Parents, recipe: Recipe) -> Callable[[str], torch.Tensor]:
    return lambda name: merged_tensor(name, parents, recipe)


def _result(path: Path, params: MergeParams) -> dict[str, Any]:
    return {
        "name": path.name if path.is_dir() else path.stem,
        "path": str(path),
        "size_bytes": sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*"))),
        "method": params.method,
    }


def _without_numbers(parents: Parents) -> Parents:
    def emptied(tensors: Tensors) -> Tensors:
        return tensors.without_numbers() if isinstance(tensors, NamedTensors) else tensors

    models = [emptied(one) for one in (parents.a, parents.b, parents.c) if one is not None]
    return Parents.of(models, parents.vae and emptied(parents.vae))


def _facts(path: Path, files: TensorFiles) -> ParentFacts:
    metadata = parsed_metadata(files.metadata)
    return ParentFacts(path.name, hashes.sha256_of(path), hashes.legacy_hash_of(path), metadata)


def _write_pickle(path: Path, parents: Parents, recipe: Recipe, names: list[str], progress: Progress) -> None:
    """Write PyTorch's own format, which is made in memory as a whole."""
    tensors = {}
    for count, name in enumerate(names, 1):
        tensors[name] = merged_tensor(name, parents, recipe).clone()
        progress(count, len(names), f"Merging {path.stem}")
    half_written = path.with_name(path.name + ".part")
    try:
        torch.save({"state_dict": tensors}, half_written)
        half_written.replace(path)
    finally:
        half_written.unlink(missing_ok=True)


def _copy_config(params: MergeParams, paths: list[Path], path: Path) -> None:
    """Copy the .yaml file that stands beside a parent: of the first that has one, of B, of C, or of none."""
    chosen = {"A, B or C": paths, "B": paths[1:2], "C": paths[2:3], "Don't": []}[params.config_source]
    beside = [parent.with_suffix(".yaml") for parent in chosen]
    if found := next((config for config in beside if config.is_file()), None):
        shutil.copyfile(found, path.with_suffix(".yaml"))

"""diffusers' UNet and VAE classes, imported here only, in a fraction of the usual time. No weights are touched.

`import diffusers` the usual way takes longer than `import torch`: it imports all models it knows, the machinery of
`torch.compile`, transformers and accelerate. A run needs none of these, and a person waits for the first
picture of every new worker. Nothing is ever downloaded: the libraries are told to stay offline.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

_PACKAGES_OF_ALL_MODELS = ("diffusers.models.autoencoders", "diffusers.models.transformers", "diffusers.models.unets")


@contextlib.contextmanager
def lean_imports() -> Iterator[None]:
    """Leave out, for the imports inside, what no run needs; afterwards all of it can be imported as usual.

    These stand in: an empty `torch._dynamo` whose decorators do nothing, nothing for transformers, accelerate and peft,
    and packages that do not import all their modules.
    """
    stand_ins: dict[str, Any] = {"torch._dynamo": _without_compiler()}
    stand_ins |= dict.fromkeys(("transformers", "accelerate", "peft"))
    stand_ins |= {name: _bare_package(name) for name in _PACKAGES_OF_ALL_MODELS}
    stand_ins = {name: module for name, module in stand_ins.items() if name not in sys.modules}
    sys.modules.update(stand_ins)
    if "torch._dynamo" in stand_ins:
        vars(torch)["_dynamo"] = stand_ins["torch._dynamo"]
    try:
        yield
    finally:
        for name in stand_ins:
            sys.modules.pop(name, None)
        if "torch._dynamo" in stand_ins:
            vars(torch).pop("_dynamo", None)


def _without_compiler() -> ModuleType:
    def unchanged(function: Callable[..., Any] | None = None, *_: Any, **__: Any) -> Any:
        return function if callable(function) else unchanged

    module = ModuleType("torch._dynamo")
    vars(module).update(disable=unchanged, allow_in_graph=unchanged)
    return module


def _bare_package(name: str) -> ModuleType:
    module = ModuleType(name)
    spec = importlib.util.find_spec("diffusers")
    assert spec is not None
    assert spec.submodule_search_locations
    module.__path__ = [str(Path(spec.submodule_search_locations[0]).joinpath(*name.split(".")[1:]))]
    return module


with lean_imports():
    from diffusers.models.attention import BasicTransformerBlock
    from diffusers.models.attention_processor import Attention
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

__all__ = ["Attention", "AutoencoderKL", "BasicTransformerBlock", "UNet2DConditionModel"]

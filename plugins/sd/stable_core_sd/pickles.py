"""Reading PyTorch's pickled files (`.ckpt`, `.pt`, `.bin`) without running code of theirs. It writes none.

A pickle is a small program whose instructions may call any function of Python. Here each name that a file asks for is
looked up in a list of a few harmless ones, most of them stand-ins of our own; any other ends the reading before it is
called. Tensors of large files are views of the mapped file, so that nothing is read before it is used.
"""

from __future__ import annotations

import math
import mmap
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import torch

from stable_core.sdk import InvalidParams

_LARGEST_PROGRAM = 256 * 2**20
_MAPPED_ABOVE = 256 * 2**20
"""Smaller files are read at once, so that what comes out of them does not depend on the file any longer."""
_OLD_MAGIC = 0x1950A86A20F9469CFC6C

_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "UntypedStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

Storages = Callable[[torch.dtype, str, int], torch.Tensor]
"""Returns the numbers of a storage, in a row: of a type, under a key, so many of them."""


class _Unsafe(pickle.UnpicklingError):
    """A file asks for a function that could do harm, or that nothing here needs."""


def read_pickle(path: Path) -> Any:
    """Return what PyTorch saved in a file: dicts, lists, numbers, texts and tensors on the CPU.

    Of a TorchScript file it is a dict of all tensors by their dotted names.

    Raises:
        InvalidParams: reading it as usual could run code (none was run), it is no such file, or it is cut off.
    """
    try:
        with path.open("rb") as file:
            if zipfile.is_zipfile(file):
                return _read_zip(file)
            file.seek(0)
            return _read_old(file, path.stat().st_size)
    except _Unsafe as error:
        raise InvalidParams(
            f"{path.name} was refused: {error}.",
            "Do not open this file with other programs either; get the model as a .safetensors file.",
        ) from None
    except Exception as error:  # noqa: BLE001 - a broken program can fail in any way
        raise InvalidParams(
            f"{path.name} cannot be read: {str(error).rstrip('.') or type(error).__name__}.",
            "It may be cut off or no file of PyTorch: compare its size with the source and copy it again.",
        ) from None


def _read_zip(file: IO[bytes]) -> Any:
    """Read the format of PyTorch 1.6 and later: a zip archive of a program and its storages, uncompressed."""
    archive = zipfile.ZipFile(file)
    program = next((info for info in archive.infolist() if info.filename.endswith("data.pkl")), None)
    if program is None:
        raise ValueError("it holds no data.pkl")
    if program.file_size > _LARGEST_PROGRAM:
        raise ValueError(f"its program has {program.file_size} bytes")
    folder = program.filename.removesuffix("data.pkl") + "data/"
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    is_mapped = size > _MAPPED_ABOVE
    content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) if is_mapped else bytearray(file.read())

    def storage(dtype: torch.dtype, key: str, count: int) -> torch.Tensor:
        info = archive.getinfo(folder + key)
        if count * dtype.itemsize > info.file_size:
            raise ValueError(f"storage {key} is too short")
        if info.compress_type != zipfile.ZIP_STORED:
            return torch.frombuffer(bytearray(archive.read(info)), dtype=dtype, count=count)
        name_length, extra_length = struct.unpack_from("<HH", content, info.header_offset + 26)
        start = info.header_offset + 30 + name_length + extra_length
        return torch.frombuffer(content, dtype=dtype, count=count, offset=start)

    with archive.open(program) as opened:
        reader = _Reader(opened, storage)
        content = reader.load()
    return dict(_tensors_in(content)) if isinstance(content, reader.scripted) else content


def _read_old(file: IO[bytes], size: int) -> Any:
    """Read the format before PyTorch 1.6: programs for a magic number, its version, the content and an order."""
    storages: dict[str, torch.Tensor] = {}

    def storage(dtype: torch.dtype, key: str, count: int) -> torch.Tensor:
        if count * dtype.itemsize > size:
            raise ValueError(f"storage {key} is longer than the file")
        return storages.setdefault(key, torch.empty(count, dtype=dtype))

    magic, _, _, content, order = (_Reader(file, storage).load() for _ in range(5))
    if magic != _OLD_MAGIC:
        raise ValueError("it starts with no known magic number")
    for key in order:
        numbers = storages[key]
        (count,) = struct.unpack("<q", file.read(8))
        if count != len(numbers) or file.readinto(numbers.view(torch.uint8).numpy()) != numbers.nbytes:  # type: ignore[attr-defined]
            raise ValueError(f"storage {key} is cut off")
    return content


class _Reader(pickle.Unpickler):
    """An unpickler that calls nothing but what `_allowed` lists."""

    def __init__(self, file: IO[bytes], storage: Storages) -> None:
        super().__init__(file, encoding="latin-1")
        self._storage = storage
        self._allowed = _allowed()
        self.scripted = _scripted()
        """What stands in for the classes of a TorchScript file, whose code is not read."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a global name of the file.

        Raises:
            _Unsafe: it is not one of the few that weights need.
        """
        if module == "__torch__" or module.startswith("__torch__."):
            return self.scripted
        if (module, name) not in self._allowed:
            raise _Unsafe(f"it asks for {module}.{name}, which weights do not need and which could run code")
        return self._allowed[module, name]

    def persistent_load(self, pid: Any) -> torch.Tensor:
        """Return the numbers that tensors are views of."""
        kind, dtype, key, _, count = pid[:5]
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise ValueError(f"it holds an unknown object {kind!r}")
        return self._storage(dtype, str(key), int(count)) if count else torch.empty(0, dtype=dtype)


def _scripted() -> Any:
    """Return a new class that keeps the parts of a module by name and does nothing else."""

    class Scripted(dict[str, Any]):
        def __setstate__(self, state: Any) -> None:
            self.update(state)

    return Scripted


def _tensors_in(module: dict[str, Any], start: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors of modules in modules under dotted names."""
    for name, value in module.items():
        if isinstance(value, torch.Tensor):
            yield start + name, value
        elif isinstance(value, type(module)):
            yield from _tensors_in(value, f"{start}{name}.")


_TRAINING = (
    ("pytorch_lightning.callbacks", "ModelCheckpoint"),
    ("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint"),
    ("pytorch_lightning.callbacks.early_stopping", "EarlyStopping"),
    ("torch", "device"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
)
"""Objects beside the weights: records of a training."""
_TAGGED = ("build_intlist", "build_tensorlist", "build_doublelist", "build_boollist", "restore_type_tag")
"""Functions of TorchScript that return a value with a type beside it."""


def _allowed() -> dict[tuple[str, str], Any]:
    """Return what files may ask for; made anew for each, because a program can also change what it was given."""

    class Ignored:
        """What stands in for objects beside the weights, such as records of the training."""

        def __init__(self, *_: Any, **__: Any) -> None: ...

        def __setstate__(self, state: Any) -> None: ...

    class NamedParameters(dict[str, Any]):
        """What stands in for a list of named parameters, as old textual inversion files have it."""

        def __setstate__(self, state: Any) -> None:
            self.update(state["_parameters"])

    def tensor(storage: torch.Tensor, offset: int, shape: Any, stride: Any, *_: Any) -> torch.Tensor:
        if math.prod(shape) > storage.numel():
            raise ValueError(f"a tensor of shape {list(shape)} is larger than its storage")
        return storage.as_strided(tuple(shape), tuple(stride), offset)

    def typed_tensor(storage: torch.Tensor, offset: int, shape: Any, stride: Any, *rest: Any) -> torch.Tensor:
        return tensor(storage.view(rest[2]), offset, shape, stride)

    def parameter(data: torch.Tensor, *_: Any) -> torch.Tensor:
        return data

    def typed(value: Any, *_: Any) -> Any:
        return value

    def encoded(text: str, encoding: str = "utf-8") -> bytes:
        return text.encode("latin-1" if encoding == "latin1" else "utf-8")

    dtypes = [name for name, value in vars(torch).items() if isinstance(value, torch.dtype)]
    return {
        ("collections", "OrderedDict"): OrderedDict,
        ("builtins", "set"): set,
        ("__builtin__", "set"): set,
        ("_codecs", "encode"): encoded,
        ("torch", "Size"): torch.Size,
        ("torch._utils", "_rebuild_tensor_v2"): tensor,
        ("torch._utils", "_rebuild_tensor_v3"): typed_tensor,
        ("torch._utils", "_rebuild_parameter"): parameter,
        ("pytorch_lightning.utilities.parsing", "AttributeDict"): dict,
        ("torch.nn.modules.container", "ParameterDict"): NamedParameters,
        **{("torch", name): dtype for name, dtype in _DTYPES.items()},
        **{("torch.storage", name): dtype for name, dtype in _DTYPES.items()},
        **{("torch", name): getattr(torch, name) for name in dtypes},
        **{("torch.jit._pickle", name): typed for name in _TAGGED},
        **dict.fromkeys(_TRAINING, Ignored),
    }

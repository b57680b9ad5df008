"""Reading pickled files: everything that PyTorch saves comes back, and no code of a file ever runs."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from stable_core.sdk import InvalidParams
from stable_core_sd import pickles
from stable_core_sd.pickles import read_pickle


class Exploit:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def same(found: Any, expected: Any) -> bool:
    if isinstance(expected, torch.Tensor):
        return found.dtype == expected.dtype and torch.equal(found, expected)
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(same(found[key], expected[key]) for key in expected)
    return bool(found == expected)


@pytest.mark.parametrize(("zipped", "is_mapped"), [(True, False), (True, True), (False, False)])
def test_what_pytorch_saves_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool, is_mapped: bool
) -> None:
    monkeypatch.setattr(pickles, "_MAPPED_ABOVE", 0 if is_mapped else 2**30)
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    saved = {
        "state_dict": OrderedDict(whole=base, view=base[1:3, ::2], turned=base.T, half=base.half(), none=base[:0]),
        "numbers": [torch.arange(5), torch.tensor(True), torch.tensor(2.5, dtype=torch.bfloat16)],
        "parameter": torch.nn.Parameter(base[:2]),
        768: (1, 2.5, "text", None, {3}),
    }
    path = tmp_path / "saved.pt"
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    found = read_pickle(path)
    assert list(found) == list(saved)
    assert same(found["state_dict"], saved["state_dict"])
    assert all(same(one, other) for one, other in zip(found["numbers"], saved["numbers"], strict=True))
    assert same(found["parameter"], base[:2])
    assert found[768] == saved[768]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_code_in_a_file_is_refused_and_does_not_run(tmp_path: Path, zipped: bool, protocol: int) -> None:
    touched = tmp_path / "touched"
    path = tmp_path / "bad.ckpt"
    for function, arguments in (
        (os.system, (f"touch {touched}",)),
        (eval, (f"open({str(touched)!r}, 'w')",)),
        (Path.touch, (touched,)),
        (getattr, ("os", "system")),
        (open, (str(touched), "w")),
    ):
        bad = {"state_dict": {"weight": torch.ones(2), "bomb": Exploit(function, *arguments)}}
        torch.save(bad, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
        with pytest.raises(InvalidParams, match=r"bad\.ckpt was refused: it asks for ") as raised:
            read_pickle(path)
        assert "safetensors" in raised.value.hint
    assert not touched.exists()


def test_a_bare_pickle_and_a_program_put_into_an_archive_run_nothing(tmp_path: Path) -> None:
    touched, path = tmp_path / "touched", tmp_path / "bad.pt"
    program = pickle.dumps(Exploit(os.system, f"touch {touched}"))
    path.write_bytes(program)
    with pytest.raises(InvalidParams, match="system"):
        read_pickle(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
    with pytest.raises(InvalidParams, match="system"):
        read_pickle(path)
    assert not touched.exists()


def test_a_file_cannot_change_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "changes.pt"
    program = b"ctorch._utils\n_rebuild_parameter\n(}(S'__defaults__'\n(I1\ntu}tb."
    path.write_bytes(program)
    with pytest.raises(InvalidParams):
        read_pickle(path)
    torch.save({"a": torch.nn.Parameter(torch.ones(1))}, path)
    assert torch.equal(read_pickle(path)["a"], torch.ones(1))


def test_of_torchscript_the_tensors_are_read_and_not_the_code(tmp_path: Path) -> None:
    path = tmp_path / "scripted.pt"
    module = torch.nn.Sequential(
        torch.nn.Linear(3, 2), torch.nn.Sequential(torch.nn.LayerNorm(2)), torch.nn.BatchNorm1d(2)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module).save(str(path))
    assert sorted(read_pickle(path)) == sorted(module.state_dict())
    assert all(same(value, module.state_dict()[name]) for name, value in read_pickle(path).items())
    program = b"c__torch__\nM\n)\x81}(S'a'\ncos\nsystem\nub."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
    with pytest.raises(InvalidParams, match=r"asks for os\.system"):
        read_pickle(path)


def test_records_of_the_training_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "old.ckpt"
    program = b"".join(
        (
            b"(dS'callbacks'\n",
            b"(dcpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\nI1\nss",
            b"S'global_step'\nI470000\ns.",
        )
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
    assert read_pickle(path)["global_step"] == 470000


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_is_cut_off_says_so(tmp_path: Path, kept: float, zipped: bool) -> None:
    path = tmp_path / "cut.ckpt"
    torch.save({"a": torch.rand(1000)}, path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(InvalidParams, match=r"cut\.ckpt cannot be read"):
        read_pickle(path)


def test_a_tensor_cannot_be_larger_than_its_storage(tmp_path: Path) -> None:
    path = tmp_path / "large.pt"
    torch.save({"a": torch.ones(1).expand(10**9)}, path)
    with pytest.raises(InvalidParams, match="larger than its storage"):
        read_pickle(path)

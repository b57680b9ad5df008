"""Where the models run, in which number format, and how a tensor gets there. It does not choose what runs where."""

from __future__ import annotations

import os

import psutil
import torch

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def choose_device() -> torch.device:
    """Return the device named by `STABLE_CORE_DEVICE`, else the best one there is: CUDA, MPS, CPU."""
    named = os.environ.get("STABLE_CORE_DEVICE", "")
    if named:
        return torch.device(named)
    if torch.cuda.is_available():
        return torch.device("cuda:0")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the number format for `precision`; `auto` is fp32 on a CPU and fp16 elsewhere."""
    if precision == "auto":
        return torch.float32 if device.type == "cpu" else torch.float16
    return DTYPES[precision]


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a tensor on a device without waiting until that has done all it was told before.

    CUDA copies from ordinary main memory only after such a wait, and then has nothing to do until it is told more.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def free_memory(device: torch.device) -> None:
    """Give memory that PyTorch keeps for later back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def free_main_memory() -> int:
    """Return how many bytes of main memory programs can still have."""
    return int(psutil.virtual_memory().available)

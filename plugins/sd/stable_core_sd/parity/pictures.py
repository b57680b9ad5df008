"""Checks of resizing, masks, grids, the geometry of the high-resolution pass. The reference cases are run by runner."""

from __future__ import annotations

from stable_core_sd.parity.runner import Check

CHECKS: dict[str, Check] = {}

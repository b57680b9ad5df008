"""Checks of generation data, files, plots and other scripts. The reference cases are run by runner."""

from __future__ import annotations

from stable_core_sd.parity.runner import Check

CHECKS: dict[str, Check] = {}

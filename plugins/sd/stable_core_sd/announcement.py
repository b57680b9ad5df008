"""All that the sd plugin announces: the jobs of `plugin` and what is made of several of them. It has no job itself."""

from __future__ import annotations

from stable_core_sd import picture_scripts, scripts
from stable_core_sd.plugin import plugin

__all__ = ["picture_scripts", "plugin", "scripts"]

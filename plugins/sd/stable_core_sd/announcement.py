"""All that the sd plugin announces: the jobs of `plugin` and what is made of several of them. It has no job itself."""

from __future__ import annotations

from stable_core_sd import interrogation_jobs, picture_scripts, scripts
from stable_core_sd.plugin import plugin

__all__ = ["interrogation_jobs", "picture_scripts", "plugin", "scripts"]

"""Stable Diffusion as a stable-core plugin. Importing the package imports no torch; only the engine modules do."""

__version__ = "0.1.0"

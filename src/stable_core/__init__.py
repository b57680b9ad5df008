"""stable-core, a backend for AI art. No API itself: plugins import `stable_core.sdk`, programs `stable_core_client`."""

__version__ = "0.1.0"

"""What all tests share: they never see the settings, the home folder or the models of the person who runs them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove every STABLE_CORE_* variable and point the home folder into the test's own folder."""
    for name in os.environ:
        if name.startswith("STABLE_CORE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STABLE_CORE_HOME", str(tmp_path / "home"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return an empty home folder."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    return folder

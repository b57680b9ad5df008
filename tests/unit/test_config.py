"""Settings: where they come from, what is refused, and that tokens stay private."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from stable_core.config import Config, Settings, home_folder
from stable_core.errors import ConfigError, InvalidParams


def test_defaults_need_no_file(home: Path) -> None:
    config = Config(home)
    assert config.settings == Settings()
    assert list(home.iterdir()) == []


def test_an_update_is_checked_saved_and_applied(home: Path) -> None:
    config = Config(home)
    assert config.update({"port": 8000, "image_format": "webp"}).port == 8000
    assert config.settings.image_format == "webp"
    assert Config(home).settings == config.settings


def test_a_wrong_update_changes_nothing(home: Path) -> None:
    config = Config(home)
    config.update({"port": 8000})
    with pytest.raises(InvalidParams, match=r"port.*nonsense|nonsense.*port") as caught:
        config.update({"port": -1, "nonsense": 2})
    assert "Params are" not in caught.value.message
    assert config.settings.port == 8000
    assert Config(home).settings.port == 8000


def test_none_puts_a_setting_back(home: Path) -> None:
    config = Config(home)
    config.update({"port": 8000, "host": "::1"})
    assert config.update({"port": None}).port == Settings().port
    assert Config(home).settings.host == "::1"


def test_a_variable_wins_and_is_not_saved(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STABLE_CORE_PORT", "9000")
    monkeypatch.setenv("STABLE_CORE_SAVE_RESULTS", "false")
    monkeypatch.setenv("STABLE_CORE_MODELS_FOLDERS", os.pathsep.join(["/a", "/b"]))
    config = Config(home)
    config.update({"port": 8000})
    assert (config.settings.port, config.settings.save_results, config.settings.models_folders) == (
        9000,
        False,
        ["/a", "/b"],
    )
    monkeypatch.delenv("STABLE_CORE_PORT")
    assert Config(home).settings.port == 8000


def test_a_wrong_variable_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STABLE_CORE_PORT", "many")
    with pytest.raises(ConfigError, match="STABLE_CORE_PORT"):
        Config(home)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{\n "core": {"port": 1},,\n}', "line 2"),
        ('{\n "core": {\n  "host": "::1",\n  "port": "many"}}', "line 4"),
        ('{\n "core": {\n  "colour": "blue"}}', "line 3"),
        ("[]", "line 1"),
        ('{"core": 3}', "line 1"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(home: Path, text: str, line: str) -> None:
    (home / "settings.json").write_text(text)
    with pytest.raises(ConfigError, match=line) as caught:
        Config(home)
    assert str(home / "settings.json") in caught.value.message
    assert (home / "settings.json").read_text() == text


def test_a_file_that_is_no_text(home: Path) -> None:
    (home / "settings.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        Config(home)


def test_plugin_settings_are_kept_apart(home: Path) -> None:
    config = Config(home)
    config.update({"port": 8000})
    config.update_plugin_settings("sd", {"api_key": "hush", "size": 3})
    assert config.plugin_settings("sd") == {"api_key": "hush", "size": 3}
    config.update_plugin_settings("sd", {"size": None})
    assert config.plugin_settings("sd") == {"api_key": "hush"}
    again = Config(home)
    assert again.plugin_settings("sd") == {"api_key": "hush"}
    assert again.plugin_settings("image") == {}
    assert again.settings.port == 8000


def test_the_caller_cannot_change_saved_settings_behind_our_back(home: Path) -> None:
    config = Config(home)
    config.update_plugin_settings("sd", {"size": 3})
    config.plugin_settings("sd")["size"] = 4
    assert config.plugin_settings("sd") == {"size": 3}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX file modes")
def test_only_the_owner_can_read_the_file(home: Path) -> None:
    config = Config(home)
    config.update({"token": "hush"})
    assert stat.S_IMODE(config.path.stat().st_mode) == 0o600


def test_a_failed_save_keeps_the_old_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(home)
    config.update({"port": 8000})
    before = config.path.read_text()

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(ConfigError, match="No space left"):
        config.update({"port": 9000})
    assert config.path.read_text() == before
    assert config.settings.port == 8000
    assert list(home.iterdir()) == [config.path]


def test_every_setting_has_a_description_and_a_group() -> None:
    for name, field in Settings.model_json_schema()["properties"].items():
        assert field.get("description"), name
        assert field["x-ui"].get("group"), name
    assert Settings.model_json_schema()["properties"]["token"]["x-ui"]["component"] == "password"


def test_the_schema_is_json() -> None:
    assert json.loads(json.dumps(Settings.model_json_schema()))["properties"]["port"]["default"] == 7860


def test_folders(home: Path) -> None:
    config = Config(home)
    assert (config.model_roots(), config.outputs_folder()) == ([home / "models"], home / "outputs")
    config.update({"models_folders": ["~/a1111/models", "/data/models"], "outputs_folder": "~/pictures"})
    assert config.model_roots() == [home / "models", Path.home() / "a1111/models", Path("/data/models")]
    assert config.outputs_folder() == Path.home() / "pictures"


def test_home_is_named_by_a_variable_or_the_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STABLE_CORE_HOME", str(tmp_path / "named"))
    assert home_folder() == tmp_path / "named"
    monkeypatch.delenv("STABLE_CORE_HOME")
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: tmp_path / "data" / "stable-core")
    assert home_folder() == tmp_path / "data" / "stable-core"
    assert all((tmp_path / name).is_dir() for name in ("named", "data/stable-core"))


def test_a_home_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STABLE_CORE_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(ConfigError, match="cannot be made") as caught:
        home_folder()
    assert "--home" in caught.value.hint

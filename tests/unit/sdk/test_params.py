"""Params: checks, the schema that clients draw, seeds, model files."""

from __future__ import annotations

import enum
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import pytest

from stable_core.errors import InvalidParams
from stable_core.sdk import (
    Counted,
    Field,
    Mask,
    ModelFile,
    Params,
    Plugin,
    Secret,
    Seed,
    Text,
    find_model_file,
    model_files,
)
from stable_core.sdk.params import MAX_SEED, check_params
from stable_core.sdk.ports import ports_of


class Fit(enum.StrEnum):
    COVER = "cover"
    CONTAIN = "contain"


class Knobs(Params):
    steps: int = Field(default=20, ge=1, le=150, description="Steps", component="slider", group="Sampling")
    width: int = Field(default=512, ge=64, multiple_of=8, description="Width", unit="px")
    sampler: Literal["euler", "ddim"] = Field(default="euler", description="Sampler")
    fit: Fit = Field(default=Fit.COVER, description="Fit", advanced=True)
    strength: float = Field(default=0.5, gt=0, lt=1, description="Strength", depends={"fit": "cover"})
    checkpoint: Annotated[str, ModelFile("checkpoints")] = Field(default="nano", description="Checkpoint")
    seed: Seed = -1
    tags: list[str] = Field(default_factory=list, description="Tags")
    note: str | None = Field(default=None, max_length=10, pattern="^[a-z]*$", description="Note", component="textarea")


def schema() -> dict[str, Any]:
    return Knobs.model_json_schema()["properties"]


class TestChecks:
    def test_values_are_checked_and_completed(self) -> None:
        checked = check_params(Knobs, {"steps": 5, "fit": "contain"})
        assert isinstance(checked, Knobs)
        assert (checked.steps, checked.fit, checked.width, checked.tags) == (5, Fit.CONTAIN, 512, [])

    @pytest.mark.parametrize(
        ("values", "named"),
        [
            ({"steps": 0}, "steps"),
            ({"steps": "many"}, "steps"),
            ({"width": 100}, "width"),
            ({"sampler": "ddpm"}, "sampler"),
            ({"fit": "none"}, "fit"),
            ({"strength": 1}, "strength"),
            ({"seed": -2}, "seed"),
            ({"seed": MAX_SEED + 1}, "seed"),
            ({"note": "UPPER"}, "note"),
            ({"note": "a" * 11}, "note"),
            ({"stepps": 3}, "stepps"),
        ],
    )
    def test_what_is_wrong_is_named_and_the_hint_lists_what_there_is(self, values: dict[str, Any], named: str) -> None:
        with pytest.raises(InvalidParams, match=f"^{named}: ") as caught:
            check_params(Knobs, values)
        assert "steps, width, sampler" in caught.value.hint

    def test_all_that_is_wrong_is_named_at_once(self) -> None:
        with pytest.raises(InvalidParams, match=r"steps: .*; width: "):
            check_params(Knobs, {"steps": 0, "width": 1})

    def test_what_is_wrong_in_a_group_is_named_by_its_path(self) -> None:
        class Grouped(Params):
            knobs: Knobs = Field(default=Knobs())
            more: Knobs | None = Field(default=None)

        with pytest.raises(InvalidParams, match=r"^knobs\.steps: .*; more\.stepps: "):
            check_params(Grouped, {"knobs": {"steps": 0}, "more": {"stepps": 1}})
        with pytest.raises(pydantic.ValidationError, match="frozen"):
            Grouped().knobs.steps = 3  # type: ignore[misc]

    def test_a_class_without_knobs_takes_none(self) -> None:
        with pytest.raises(InvalidParams, match="x: ") as caught:
            check_params(Params, {"x": 1})
        assert caught.value.hint == "Params are: none."

    def test_values_never_change_after_the_check(self) -> None:
        with pytest.raises(pydantic.ValidationError, match="frozen"):
            Knobs().steps = 3  # type: ignore[misc]

    def test_a_required_knob(self) -> None:
        class Required(Params):
            scale: int = Field(description="Scale")

        with pytest.raises(InvalidParams, match="scale: Field required"):
            check_params(Required, {})
        assert Required.model_json_schema()["required"] == ["scale"]


class TestSchema:
    def test_hints_of_a_form(self) -> None:
        knobs = schema()
        assert knobs["steps"]["x-ui"] == {"component": "slider", "group": "Sampling"}
        assert knobs["width"]["x-ui"] == {"unit": "px"}
        assert knobs["strength"]["x-ui"] == {"depends": {"fit": "cover"}}
        assert knobs["note"]["x-ui"] == {"component": "textarea"}
        assert knobs["checkpoint"]["x-ui"] == {"component": "model", "kind": "checkpoints"}
        assert knobs["seed"]["x-ui"] == {"component": "seed"}
        assert "x-ui" not in knobs["sampler"]

    def test_ranges_defaults_and_descriptions(self) -> None:
        knobs = schema()
        assert knobs["steps"].items() >= {"minimum": 1, "maximum": 150, "default": 20, "description": "Steps"}.items()
        assert knobs["width"]["multipleOf"] == 8
        assert knobs["sampler"]["enum"] == ["euler", "ddim"]
        assert (knobs["strength"]["exclusiveMinimum"], knobs["strength"]["exclusiveMaximum"]) == (0, 1)
        assert (knobs["seed"]["minimum"], knobs["seed"]["maximum"], knobs["seed"]["default"]) == (-1, MAX_SEED, -1)

    def test_unknown_names_are_forbidden_in_the_schema_too(self) -> None:
        assert Knobs.model_json_schema()["additionalProperties"] is False

    def test_an_option_that_is_misspelt_is_refused(self) -> None:
        with pytest.raises(TypeError, match="no option 'min'"):
            Field(default=1, min=1)

    def test_hints_of_all_kinds_come_together(self) -> None:
        class Drawn(Params):
            seed: Seed = Field(default=1, group="A", json_schema_extra={"x-own": 2, "x-ui": {"aliases": {"one": 1}}})

        seed = Drawn.model_json_schema()["properties"]["seed"]
        assert seed["x-ui"] == {"component": "seed", "aliases": {"one": 1}, "group": "A"}
        assert seed["x-own"] == 2

    def test_the_default_that_a_factory_makes_is_drawn(self) -> None:
        assert schema()["tags"]["default"] == []
        assert Knobs().tags is not Knobs().tags

    def test_a_secret_is_a_password(self) -> None:
        class Settings(Params):
            token: Secret = ""

        drawn = Settings.model_json_schema()["properties"]["token"]
        assert drawn.items() >= {"type": "string", "format": "password", "writeOnly": True}.items()


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty home models folder, searched before an A1111 folder beside it; no plugin brings models."""
    none: list[Path] = []
    monkeypatch.setattr("stable_core.sdk.params.bundled_roots", none)
    monkeypatch.setattr("stable_core.sdk.plugin.bundled_roots", none)
    monkeypatch.setenv("STABLE_CORE_MODELS", f"{tmp_path / 'home'}{os.pathsep}{tmp_path / 'a1111'}")
    return tmp_path / "home"


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


class TestModelFiles:
    def test_files_of_our_own_and_foreign_folders(self, models: Path) -> None:
        mine = put(models / "checkpoints" / "mine.safetensors")
        old = put(models.parent / "a1111" / "Stable-diffusion" / "old.ckpt")
        put(models / "checkpoints" / "notes.txt")
        put(models / "loras" / "style.safetensors")
        assert model_files("checkpoints") == {"mine": mine, "old": old}

    def test_the_first_root_wins(self, models: Path) -> None:
        mine = put(models / "checkpoints" / "same.safetensors")
        put(models.parent / "a1111" / "Stable-diffusion" / "same.safetensors")
        assert model_files("checkpoints") == {"same": mine}

    def test_models_in_folders_keep_the_folder_in_their_name(self, models: Path) -> None:
        path = put(models / "loras" / "people" / "face.safetensors")
        assert model_files("loras") == {"people/face": path}

    def test_files_with_other_endings_are_found_when_asked_for(self, models: Path) -> None:
        put(models / "embeddings" / "cat.pt")
        card = put(models / "embeddings" / "cat.PNG")
        assert model_files("embeddings", suffixes=(".png",)) == {"cat": card}

    def test_diffusers_folders_count_as_one_model(self, models: Path) -> None:
        inside = put(models / "checkpoints" / "folder" / "model_index.json").parent
        put(inside / "unet.safetensors")
        below = put(models / "nano" / "model_index.json").parent
        assert model_files("checkpoints") == {"folder": inside, "nano": below}

    def test_a_kind_of_ones_own_is_its_folder(self, models: Path) -> None:
        path = put(models / "depth" / "small.onnx")
        assert model_files("depth") == {"small": path}

    def test_what_a_plugin_brings_comes_last(self, models: Path, tmp_path: Path) -> None:
        bundled = put(tmp_path / "plugin" / "checkpoints" / "nano.safetensors")
        Plugin("bringer", models=tmp_path / "plugin")
        assert model_files("checkpoints") == {"nano": bundled}
        mine = put(models / "checkpoints" / "nano.safetensors")
        assert model_files("checkpoints") == {"nano": mine}

    def test_without_any_folder_there_are_none(self, models: Path) -> None:
        assert model_files("checkpoints") == {}

    def test_find_by_name_with_or_without_ending(self, models: Path) -> None:
        path = put(models / "checkpoints" / "v1.5-ema.safetensors")
        assert find_model_file("checkpoints", "v1.5-ema") == path
        assert find_model_file("checkpoints", "v1.5-ema.safetensors") == path

    def test_a_missing_model_says_what_there_is_and_where_to_put_it(self, models: Path) -> None:
        put(models / "checkpoints" / "one.safetensors")
        with pytest.raises(InvalidParams, match="no model 'two'") as caught:
            find_model_file("checkpoints", "two")
        assert "one" in caught.value.hint
        assert "models/checkpoints/" in caught.value.hint

    @pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..", ""])
    def test_names_never_leave_the_folders(self, models: Path, name: str) -> None:
        put(models / "checkpoints" / "one.safetensors")
        put(models / "secret.safetensors")
        with pytest.raises(InvalidParams):
            find_model_file("checkpoints", name)


COUNTED: Any = Annotated[Text, Counted("probe.count")]


class TestCounted:
    class Texts(Params):
        text: Annotated[str, Counted("probe.count", negative=True)] = Field(default="", group="Prompt")

    def test_the_job_that_counts_a_text_is_a_hint_beside_the_others(self) -> None:
        assert self.Texts.model_json_schema()["properties"]["text"]["x-ui"] == {
            "component": "textarea",
            "counter": {"job": "probe.count", "params": {"negative": True}},
            "group": "Prompt",
        }

    @pytest.mark.parametrize("declared", [COUNTED, COUNTED | None])
    def test_ports_have_it_too(self, declared: Any) -> None:
        [port] = ports_of({"prompt": declared}, "draw")
        assert port.type == "text"
        assert port.to_dict()["x-ui"]["counter"] == {"job": "probe.count", "params": {}}

    def test_other_ports_have_no_hints(self) -> None:
        [port] = ports_of({"mask": Mask}, "draw")
        assert "x-ui" not in port.to_dict()

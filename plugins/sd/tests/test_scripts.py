"""Small jobs beside the runs."""

from __future__ import annotations

import pytest

from stable_core.sdk import Data, InvalidInput, Progress
from stable_core_sd.params import Img2ImgParams
from stable_core_sd.params_scripts import AlternativeParams, TagParams, part_of
from stable_core_sd.scripts import prompt_of_tags


def test_tags_become_a_prompt() -> None:
    tags = Data({"long_hair": 0.9, "smile_(cat)": 0.7, "rating:safe": 0.99, "solo": 0.2})
    assert prompt_of_tags(tags, TagParams(), Progress()) == "long hair, smile \\(cat\\)"
    weighted = TagParams(order="probability", weights=True, left_out="long hair", threshold=0.1)
    assert prompt_of_tags(tags, weighted, Progress()) == "(smile \\(cat\\):0.700), (solo:0.200)"


@pytest.mark.parametrize("value", [[], "text", {"tag": "much"}])
def test_what_is_no_tags_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput):
        prompt_of_tags(Data(value), TagParams(), Progress())


def test_defaults_of_a_script_count_in_its_runs() -> None:
    run = part_of(AlternativeParams(cfg_scale=3), Img2ImgParams)
    assert (run.steps, run.denoising_strength, run.sampler, run.cfg_scale) == (50, 1, "Euler", 3)
    assert "tiling" not in run.model_fields_set

"""The knobs of runs that are made of several: plots, matrices, loops, tiles. Those of a single run are in params."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import pydantic
from pydantic import ConfigDict

from stable_core.sdk import Field, Params
from stable_core_sd.counted import NegativePrompt, Prompt
from stable_core_sd.invocations.axis_list import AXES, NOTHING
from stable_core_sd.labels import SamplerName
from stable_core_sd.params import UPSCALERS_WITHOUT_FILE, Img2ImgParams, InpaintParams, Txt2ImgParams, UpscalerName

Kind = TypeVar("Kind", bound=Params)


def part_of(params: Params, kind: type[Kind]) -> Kind:
    """Return those params that another params class has too; defaults that are the same there stay unset."""
    shared = type(params).model_fields.keys() & kind.model_fields.keys()
    given = {name: getattr(params, name) for name in shared}
    same = {name for name in shared - params.model_fields_set if given[name] == kind.model_fields[name].default}
    return kind.model_validate({name: given[name] for name in shared - same})


class AnyRunParams(Img2ImgParams, Txt2ImgParams):
    """The knobs of a run from text or, where a picture is given, from that."""


class CellParams(AnyRunParams):
    """The knobs of one picture of a plot."""


class ToldParams(Params):
    """What the generation data of a picture says that was put together from several."""

    prompt: str = Field(default="", component="textarea", description="The prompt")
    run: dict[str, Any] = Field(default={}, description="The params of the first run; empty writes nothing")
    from_image: bool = Field(default=False, description="The runs were made from a picture")
    pairs: dict[str, str] = Field(default={}, description="What else is said")


def told_of(prompt: str, run: Params, from_image: bool, pairs: dict[str, str] | None = None) -> ToldParams:
    """Return what is said of a picture whose first run had these params."""
    kind = Img2ImgParams if from_image else Txt2ImgParams
    knobs = run.model_dump(mode="json", include=set(kind.model_fields))
    return ToldParams(prompt=prompt, run=knobs, from_image=from_image, pairs=pairs or {})


class Label(Params):
    """One line of a label on a plot."""

    text: str = Field(default="", description="What it says")
    active: bool = Field(default=True, description="Black; else gray and struck through")


class DrawPlotParams(Params):
    """How pictures stand in a plot and what is written around them."""

    columns: int = Field(default=1, ge=1, le=1000, description="Pictures in a row")
    places: list[int] = Field(default=[], description="The cell of each picture, row by row from 0; empty is in order")
    column_labels: list[list[Label]] = Field(default=[], description="Lines above each column")
    row_labels: list[list[Label]] = Field(default=[], description="Lines beside each row")
    titles: list[str] = Field(default=[], description="What stands above each of several grids, side by side")
    margin: int = Field(default=0, ge=0, le=500, unit="px", description="Space between the pictures")
    told: ToldParams = Field(default=ToldParams(), description="What the generation data of the plot says")


class BoxParams(Params):
    """A rectangle of a picture."""

    x: int = Field(default=0, ge=-16384, le=16384, unit="px", description="Its left edge; may lie outside")
    y: int = Field(default=0, ge=-16384, le=16384, unit="px", description="Its top edge; may lie outside")
    width: int = Field(default=64, ge=1, le=16384, unit="px", description="Its width")
    height: int = Field(default=64, ge=1, le=16384, unit="px", description="Its height")


class JoinTilesParams(Params):
    """Where tiles lie on a picture, and how far they fade into each other."""

    width: int = Field(default=64, ge=1, le=16384, unit="px", description="Width of the picture")
    height: int = Field(default=64, ge=1, le=16384, unit="px", description="Height of the picture")
    columns: list[int] = Field(default=[0], description="The left edges of the tiles in a row")
    rows: list[int] = Field(default=[0], description="The top edges of the rows")
    overlap: int = Field(default=0, ge=0, le=4096, unit="px", description="How far each tile fades in over the last")
    told: ToldParams = Field(default=ToldParams(), description="What the generation data says")


class ReadParams(Params):
    """Nothing; it says to clients that the job reads from a file which request made it."""

    model_config = ConfigDict(json_schema_extra={"x-restores": True})


class TagParams(Params):
    """How tags become a prompt."""

    threshold: float = Field(default=0.5, ge=0, le=1, component="slider", description="The least probability of a tag")
    order: Literal["name", "probability"] = Field(default="name", description="How the tags are sorted")
    spaces: bool = Field(default=True, description="Write underscores as spaces")
    escape: bool = Field(default=True, description="Write backslashes before brackets, which mean something in prompts")
    weights: bool = Field(default=False, description="Write each tag with its probability as its weight")
    left_out: str = Field(default="", description="Tags that are not wanted, separated by commas")


class CustomCodeParams(Params):
    """What to run."""

    code: str = Field(
        default="",
        component="textarea",
        description="Python such as: return txt2img(prompt, steps=10); display(picture) shows one before the end",
    )


class PromptMatrixParams(AnyRunParams):
    """The knobs of a prompt matrix."""

    combine: Literal["prompt", "negative_prompt"] = Field(
        default="prompt", group="Matrix", description="Which of the two is split at each | into parts"
    )
    put_at_start: bool = Field(default=False, group="Matrix", description="Put the parts before the first one")
    different_seeds: bool = Field(default=False, group="Matrix", description="Give each picture the next seed")
    delimiter: Literal["comma", "space"] = Field(
        default="comma", group="Matrix", description="What stands between the parts"
    )
    margin: int = Field(default=0, ge=0, le=500, unit="px", group="Matrix", description="Space between the pictures")


AxisName = Annotated[str, pydantic.Field(examples=[axis.name for axis in AXES])]
AXIS_HELP = "one of the list, or any knob by its place, such as noise.eta"
VALUES_HELP = (
    "Separated by commas. Numbers: 10,20 or ranges 1-5, 10-50(+10), 1-10[4]. Names: Euler,DDIM. Sizes: 512x768. "
    'Switches: true,false. Prompt S/R: red,blue puts blue for red. "a, b" is one value'
)


class PlotParams(AnyRunParams):
    """The knobs of an X/Y/Z plot."""

    x_axis: AxisName = Field(
        default=NOTHING.name, group="X axis", description=f"What differs from column to column: {AXIS_HELP}"
    )
    x_values: str = Field(default="", group="X axis", description=VALUES_HELP)
    y_axis: AxisName = Field(
        default=NOTHING.name, group="Y axis", description=f"What differs from row to row: {AXIS_HELP}"
    )
    y_values: str = Field(default="", group="Y axis", description=VALUES_HELP)
    z_axis: AxisName = Field(
        default=NOTHING.name, group="Z axis", description=f"What differs from grid to grid: {AXIS_HELP}"
    )
    z_values: str = Field(default="", group="Z axis", description=VALUES_HELP)
    legend: bool = Field(default=True, group="Plot", description="Write the values around the pictures")
    lone_images: bool = Field(default=False, group="Plot", description="Return each picture too")
    sub_grids: bool = Field(default=False, group="Plot", description="Return the grid of each Z value too")
    random_seeds: bool = Field(default=False, group="Plot", description="A seed of -1 on an axis is another each time")
    vary_seed_x: bool = Field(default=False, group="X axis", advanced=True, description="The next seed in each column")
    vary_seed_y: bool = Field(default=False, group="Y axis", advanced=True, description="Other seeds in each row")
    vary_seed_z: bool = Field(default=False, group="Z axis", advanced=True, description="Other seeds in each grid")
    margin: int = Field(default=0, ge=0, le=500, unit="px", group="Plot", description="Space between the pictures")


class LoopbackParams(Img2ImgParams):
    """The knobs of a loop over a run's own result."""

    loops: int = Field(default=4, ge=1, le=100, component="slider", group="Loop", description="How often")
    final_denoising_strength: float = Field(
        default=0.5,
        ge=0,
        le=1,
        component="slider",
        group="Loop",
        description="How much the last pass may change; the first has the denoising strength",
    )
    curve: Literal["Linear", "Aggressive", "Lazy"] = Field(
        default="Linear", group="Loop", description="Aggressive goes to the last strength early, Lazy late"
    )
    append_interrogation: Literal["None", "CLIP", "DeepBooru"] = Field(
        default="None",
        group="Loop",
        description="Add to the prompt of each pass what its picture shows: CLIP a caption and matches, DeepBooru tags",
    )
    grid: bool = Field(default=True, group="Loop", description="Return all passes side by side too")


class TiledUpscaleParams(Img2ImgParams):
    """The knobs of enlarging a picture and drawing it again tile by tile."""

    upscaler: UpscalerName = Field(
        default="Lanczos",
        examples=UPSCALERS_WITHOUT_FILE,
        group="Upscale",
        description="What enlarges the picture first; None draws it again at its own size",
    )
    scale_factor: float = Field(
        default=2, ge=1, le=8, component="slider", group="Upscale", description="How many times larger it gets"
    )
    overlap: int = Field(
        default=64, ge=0, le=512, unit="px", group="Upscale", description="How far tiles overlap; wider hides seams"
    )


class SidesParams(Img2ImgParams):
    """Which sides of a picture are continued, and how far."""

    pixels: int = Field(default=128, ge=8, le=1024, unit="px", group="Outpaint", description="How far at each side")
    left: bool = Field(default=True, group="Outpaint", description="Continue it to the left")
    right: bool = Field(default=True, group="Outpaint", description="Continue it to the right")
    up: bool = Field(default=True, group="Outpaint", description="Continue it upwards")
    down: bool = Field(default=True, group="Outpaint", description="Continue it downwards")


class OutpaintParams(SidesParams):
    """The knobs of continuing a picture beyond its edges."""

    blur: int = Field(
        default=8, ge=0, le=64, unit="px", group="Outpaint", description="How far the old picture is drawn over"
    )
    falloff: float = Field(
        default=1,
        ge=0,
        le=4,
        group="Outpaint",
        description="How much the noise in the new area is like the picture: lower has more detail",
    )
    color_variation: float = Field(
        default=0.05, ge=0, le=1, group="Outpaint", description="How colourful the noise in the new area is"
    )


class ContinueParams(Params):
    """One step of outpainting: more canvas at one side."""

    side: Literal["left", "right", "up", "down"] = Field(default="left", description="Where the canvas grows")
    pixels: int = Field(default=64, ge=1, le=4096, unit="px", description="By how much")
    blur: int = Field(default=8, ge=0, le=64, unit="px", description="How far the old picture is drawn over")
    falloff: float = Field(default=1, ge=0, le=4, description="How much the noise is like the picture")
    color_variation: float = Field(default=0.05, ge=0, le=1, description="How colourful the noise is")


class PasteParams(Params):
    """Where a piece lies on a picture, and what is kept of both."""

    x: int = Field(default=0, ge=-16384, le=16384, unit="px", description="Left edge of the piece")
    y: int = Field(default=0, ge=-16384, le=16384, unit="px", description="Top edge of the piece")
    width: int = Field(default=0, ge=0, le=16384, unit="px", description="Width that is kept; 0 is all")
    height: int = Field(default=0, ge=0, le=16384, unit="px", description="Height that is kept; 0 is all")
    told: ToldParams = Field(default=ToldParams(), description="What the generation data says")


class PoorInpaintParams(InpaintParams):
    """What the new parts of a picture start with that is continued tile by tile: what is beside them."""

    fill: Literal["fill", "original", "latent noise", "latent nothing"] = Field(
        default="fill",
        title="Masked content",
        description="What the new parts start with: smeared surroundings, black, noise, or nothing",
    )


class PoorOutpaintParams(SidesParams):
    """The knobs of continuing a picture tile by tile."""

    blur: int = Field(
        default=4, ge=0, le=32, unit="px", group="Outpaint", description="How far the old picture is drawn over"
    )
    inpaint: PoorInpaintParams = Field(default=PoorInpaintParams(), description="What the new parts start with")


class PromptsFromFileParams(AnyRunParams):
    """The knobs of a list of prompts."""

    prompt: str = Field(
        default="", component="textarea", group="Prompts", description="What is added to the prompt of every line"
    )
    seeds: Literal["same", "one after the other", "random"] = Field(
        default="same", group="Prompts", description="The seed of each line: that of the first, the next, or any"
    )
    position: Literal["start", "end"] = Field(
        default="start", group="Prompts", description="Where the line goes: before or behind the main prompt"
    )


Taken = Literal["Prompt", "Negative prompt", "Seed", "CFG scale", "Sampler", "Steps", "Model"]


class BatchItemParams(Img2ImgParams):
    """The knobs of changing one picture of a folder."""

    scale_by: float = Field(
        default=0,
        ge=0,
        le=8,
        group="Batch",
        description="Size of the result by the picture's; 0 is width x height",
    )
    take: list[Taken] = Field(
        default=[], group="Batch", description="What is taken from the generation data of each picture"
    )
    output_folder: str = Field(
        default="", group="Batch", description="A folder on the server's machine for results under the same names"
    )
    output_format: Literal["png", "jpeg", "webp", "avif"] = Field(
        default="png", group="Batch", description="The format of the files there"
    )
    output_names: str = Field(
        default="[basename]-[generation_number]",
        group="Batch",
        description="Names of the files there, as in A1111: [seed], [prompt_words], [datetime<%Y-%m-%d>] …",
    )
    basename: str = Field(default="picture", group="Batch", description="The name of the picture, without its ending")


class BatchFolderParams(BatchItemParams):
    """The knobs of changing all pictures of a folder."""

    folder: str = Field(default="", group="Batch", description="A folder with pictures on the server's machine")
    mask_folder: str = Field(
        default="", group="Batch", description="A folder with one mask for all, or one for each of the same name"
    )


class AlternativeParams(Img2ImgParams):
    """The knobs of drawing a picture again from its own noise."""

    sampler: SamplerName = Field(
        default="Euler", group="Sampling", description="Euler is the one that goes the same way back"
    )
    steps: int = Field(
        default=50, ge=1, le=150, component="slider", group="Sampling", description="As many as for finding the noise"
    )
    denoising_strength: float = Field(
        default=1, ge=0, le=1, component="slider", group="Sampling", description="1 begins with all of its noise"
    )
    original_prompt: Prompt = Field(
        default="", group="Original", description="A prompt that says what the picture shows"
    )
    original_negative_prompt: NegativePrompt = Field(
        default="", group="Original", description="What the picture does not show"
    )
    decode_steps: int = Field(
        default=50, ge=1, le=150, component="slider", group="Original", description="Steps for finding the noise"
    )
    decode_cfg: float = Field(
        default=1, ge=1, le=15, component="slider", group="Original", description="CFG scale for finding the noise"
    )
    randomness: float = Field(
        default=0, ge=0, le=1, component="slider", group="Original", description="Share of fresh noise"
    )
    sigma_adjustment: bool = Field(
        default=False, group="Original", description="Look before each step, not behind it; keeps more of the picture"
    )

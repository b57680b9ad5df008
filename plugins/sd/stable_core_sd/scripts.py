"""The announcement of what is made of several runs, from text or from a picture: plots, matrices, lists of prompts.

Planning is in `invocations`; what starts from a picture alone is in picture_scripts.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from stable_core.sdk import Data, File, Image, InvalidInput, InvalidParams, Job, Mask, Progress, Text
from stable_core_sd import style_files
from stable_core_sd.artists import with_artist
from stable_core_sd.invocations.cells import one_picture
from stable_core_sd.invocations.matrices import plan_matrix
from stable_core_sd.invocations.plots import plan_plot
from stable_core_sd.invocations.prompt_lists import plan_prompts
from stable_core_sd.params import Img2ImgParams, Txt2ImgParams
from stable_core_sd.params_prompts import RandomArtistParams
from stable_core_sd.params_scripts import (
    CellParams,
    CustomCodeParams,
    DrawPlotParams,
    PlotParams,
    PromptMatrixParams,
    PromptsFromFileParams,
    ReadParams,
    TagParams,
    part_of,
)
from stable_core_sd.picture_files import texts_in
from stable_core_sd.plugin import img2img, plugin, txt2img
from stable_core_sd.ports import CodeResult, Picture
from stable_core_sd.restoring import restore_run, with_models_here
from stable_core_sd.tags import prompt_as_asked


@plugin.job(cached=False, light=True)  # styles and models that are here count
def read_parameters(file: File, params: ReadParams, progress: Progress) -> Data:
    """Read from a picture how it was made: a request that makes it again.

    It takes PNG, JPEG, WebP, AVIF and GIF files of this program, A1111 and NovelAI, and text files with such data. The
    result has the fields job, inputs, params, infotext and notes.
    """
    try:
        infotext, provenance = texts_in(file.path.read_bytes())
    except ValueError as error:
        raise InvalidInput(f"{error}.", "Give a picture, or a text file with generation data.") from None
    styles = [style for style, _ in style_files.known_styles().values()]
    restored = with_models_here(restore_run(infotext, provenance, styles))
    progress(1, 1)
    return Data(restored)


@plugin.job(light=True)
def prompt_of_tags(tags: Data, params: TagParams, progress: Progress) -> Text:
    """Turn the tags that a classifier such as DeepDanbooru saw in a picture, `{tag: probability}`, into a prompt."""
    found = tags.value if isinstance(tags.value, dict) else None
    if found is None or not all(isinstance(probability, int | float) for probability in found.values()):
        raise InvalidInput("These are no tags with their probabilities.", 'Give {"tag": 0.9, …}.')
    progress(1, 1)
    return prompt_as_asked(found, params)


@plugin.job(light=True)
def random_artist(prompt: Text, params: RandomArtistParams, progress: Progress) -> Text:
    """Add an artist at random to a prompt, from your list of artists or a short one of painters who died long ago."""
    progress(1, 1)
    return with_artist(prompt, params.categories, params.words, params.seed)


@plugin.job(cached=False)
def custom_code(prompt: Text | None, image: Image | None, params: CustomCodeParams, progress: Progress) -> CodeResult:
    """Run Python of your own, if the setting `allow_code` of the plugin is on.

    The jobs of the plugin are functions in it, `txt2img("a red circle", steps=10, hires={"enabled": True})`; `prompt`,
    `image` and `progress` are there too. Pictures that it returns or displays are the result, and what it prints.
    """
    progress(0, 1)
    if not plugin.settings.allow_code:
        raise InvalidParams(
            "Code is not run here: the setting allow_code of the plugin sd is off.",
            "Turn it on in the plugin's settings, if everyone who has the token may do anything on this machine.",
        )
    engine = importlib.import_module("stable_core_sd.custom_code")
    signatures = [one for one in plugin.signatures.values() if one.name != "custom_code"]
    names = {**engine.job_functions(signatures, progress), "prompt": prompt, "image": image, "progress": progress}
    made: CodeResult = engine.run_code(params.code, names)
    progress(1, 1)
    return made


@plugin.job
def cell(prompt: Text, image: Image | None, mask: Mask | None, params: CellParams, progress: Progress) -> Image:
    """Make one picture of a plot; if it fails, a blank one, with the error in the log."""

    knobs = params.model_copy(update={"grid": False})  # several pictures are a sheet in any case

    def make() -> Iterator[Image]:
        if image is None:
            return txt2img(prompt, part_of(knobs, Txt2ImgParams), progress)
        return img2img(Picture(image, prompt, mask), part_of(knobs, Img2ImgParams), progress)

    return one_picture(make, (params.width, params.height))


@plugin.job
def draw_plot(pictures: list[Image], params: DrawPlotParams, progress: Progress) -> Image:
    """Put pictures into a grid with labels above the columns and beside the rows."""
    drawing = importlib.import_module("stable_core_sd.invocations.drawing")  # numpy is not needed to announce
    drawn: Image = drawing.draw_plot(pictures, params)
    progress(1, 1)
    return drawn


@plugin.invocation
def prompt_matrix(prompt: Text, image: Image | None, mask: Mask | None, params: PromptMatrixParams) -> list[Job[Image]]:
    """Make a picture of every combination of the parts of a prompt such as `a city|at night|in snow`.

    The first part is in all of them. The first result is a labelled grid. With an image it is the start of all.
    """
    matrix = plan_matrix(prompt, params, image is not None)
    cells = [cell.signature.job(text, image, mask, knobs) for text, knobs in matrix.cells]
    return [draw_plot.job(cells, matrix.drawing), *cells]


@plugin.invocation
def xyz_plot(prompt: Text, image: Image | None, mask: Mask | None, params: PlotParams) -> list[Job[Image]]:
    """Make a grid of pictures that differ along up to three axes, such as the sampler and the number of steps.

    With an image it is the start of all of them.
    """
    plot = plan_plot(prompt, params, image is not None)
    cells = [cell.signature.job(one.prompt, image, mask, part_of(one.params, CellParams)) for one in plot.cells]
    drawn = [
        draw_plot.job([cells[number] for number in numbers], drawing) for numbers, drawing in plot.drawings(params)
    ]
    return [*drawn, *(cells if params.lone_images else [])]


@plugin.invocation
def prompts_from_file(
    prompts: Text, image: Image | None, mask: Mask | None, params: PromptsFromFileParams
) -> list[Job[Image]]:
    """Make a picture of every line of a text; with an image it is the start of all of them.

    A line may set knobs: `--prompt a red cat --negative_prompt blurry --steps 30 --width 256`.
    """
    runs = plan_prompts(prompts, params)
    return [cell.signature.job(text, image, mask, knobs) for text, knobs in runs]

"""The plugin contract: the bundled plugins keep to it, and it finds what is wrong with plugins that do not."""

from __future__ import annotations

import textwrap
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

IS_INSTALLED = any(point.value == "stable_core_testing.contract" for point in entry_points(group="pytest11"))
PLUGINS = Path(__file__).parent.parent.parent / "plugins"

HEAD = """
from collections.abc import Iterator
from stable_core.sdk import *
plugin = Plugin("sample")

class P(Params):
    steps: int = Field(default=3, ge=1, description="Steps")
"""

GOOD = """
@plugin.job
def work(prompt: Text, image: Image, params: P, progress: Progress) -> list[Image]:
    'Work in steps.'
    for step in range(params.steps):
        progress(step + 1, params.steps)
    return [image]

@plugin.job
def stream(masks: list[Mask], sound: Audio, more: Data, params: P, progress: Progress) -> Iterator[Text]:
    'Make texts one by one.'
    for step in range(params.steps):
        progress(step + 1, params.steps)
        yield str(step)

@plugin.invocation
def twice(prompt: Text, image: Image, params: P) -> list[Job[list[Image]]]:
    'Work twice.'
    return [work.job(prompt, image, params), work.job(prompt, image, params)]
"""

GROUPED = """
class Group(Params):
    scale: int = Field(default=2, ge=1, description="Scale")
    inner: list["Group"] = Field(default=[], description="Groups inside")

class P(Params):
    group: Group | None = Field(default=None, description="A group")
    groups: list[Group] = Field(default=[Group()], description="Groups")
"""

FINE = "progress(1, 1)\nreturn image"

STUBBORN = """
for step in 1, 2, 3:
    try:
        progress(step, 3)
    except BaseException:
        pass
return image
"""


def check(pytester: pytest.Pytester, *targets: str | Path, **files: str) -> pytest.RunResult:
    """Run the contract's checks of some plugins in a pytest of its own."""
    if files:
        pytester.makepyfile(**files)
    options = [f"--stable-core-plugin={target}" for target in targets]
    loaded = [] if IS_INSTALLED else ["-p", "stable_core_testing.contract"]
    return pytester.runpytest(*loaded, *options, "-v", "-p", "no:cacheprovider")


def job(body: str, returns: str = "Image", knobs: str = "") -> str:
    """Return a plugin with one job of this body."""
    head = f"def work(image: Image, params: P, progress: Progress) -> {returns}:\n    'Work.'"
    return f"{HEAD}{knobs}\n@plugin.job\n{head}\n{textwrap.indent(body, '    ')}"


@pytest.mark.parametrize(("name", "jobs"), [("invert", 1), ("image", 8)])
def test_bundled_plugins_keep_the_contract(pytester: pytest.Pytester, name: str, jobs: int) -> None:
    check(pytester, PLUGINS / name).assert_outcomes(passed=2 + 3 * jobs)


def test_a_single_file_and_options_in_the_ini_file(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = --stable-core-plugin=sample.py")
    check(pytester, sample=HEAD + GOOD).assert_outcomes(passed=2 + 3 + 3 + 2)


def test_a_plugin_by_module_and_attribute(pytester: pytest.Pytester) -> None:
    check(pytester, "sample:plugin", sample=HEAD + GOOD).assert_outcomes(passed=10)


def test_without_the_option_nothing_is_added(pytester: pytest.Pytester) -> None:
    check(pytester, test_one="def test_one(): pass").assert_outcomes(passed=1)


def test_groups_of_params_keep_the_contract(pytester: pytest.Pytester) -> None:
    check(pytester, "sample.py", sample=job(FINE, knobs=GROUPED)).assert_outcomes(passed=5)


@pytest.mark.parametrize(
    ("plugin", "broken"),
    [
        (job(FINE).replace(', description="Steps"', ""), "P has no description of steps"),
        (job(FINE).replace("default=3", "default=0"), "refuses its own defaults: steps"),
        (job(FINE, knobs=GROUPED.replace(', description="Scale"', "")), "Group has no description of scale"),
        (job(FINE, knobs=GROUPED.replace("default=2", "default=0")), "refuses its own defaults: scale"),
        (job(FINE).replace("'Work.'", ""), "work has no docstring"),
        (job(FINE).replace("import *", "import *; import sys; sys.modules['torch'] = sys"), "imports torch"),
        (job("return image"), "never calls progress"),
        (job("progress(2, 2)\nprogress(1, 2)\nreturn image"), "progress of work falls"),
        (job("progress(1, 3)\nreturn image"), "progress of work ends early"),
        (job("progress(1, 1)\nreturn 'text'"), "The image must be of type Image, not str"),
        (job(FINE, "list[Image]"), "announced a list of image and returned Image"),
        (job("try:\n    progress(1, 1)\nexcept BaseException:\n    pass\nreturn image"), "swallows JobCancelled"),
        (job(STUBBORN), "goes on for 3 steps after cancel"),
        (job("progress(1, 1)\nraise KeyError('boom')"), "KeyError: 'boom'"),
        (job(FINE).replace("image: Image", "image: Video"), "needs an example"),
    ],
)
def test_what_is_broken_is_named(pytester: pytest.Pytester, plugin: str, broken: str) -> None:
    result = check(pytester, "sample.py", sample=plugin)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"*{broken}*"])


def test_an_example_of_conftest_replaces_what_is_made_up(pytester: pytest.Pytester) -> None:
    conftest = "def pytest_stable_core_example(signature): return {'params': {'steps': 1}, 'inputs': {'image': 'mine'}}"
    body = "assert (image, params.steps) == ('mine', 1)\nprogress(1, 1)\nreturn 'done'"
    check(pytester, "sample.py", sample=job(body, "Text"), conftest=conftest).assert_outcomes(passed=5)


@pytest.mark.parametrize("source", ["x = 1", "1 / 0", "import not_installed"])
def test_what_is_no_plugin_is_said(pytester: pytest.Pytester, source: str) -> None:
    result = check(pytester, "sample.py", sample=source)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*sample.py is no plugin:*"])

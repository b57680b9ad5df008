"""The programs in the docs run: docs/examples/*.py, and the python blocks of tutorial, plugin guide and README.

A block without a mark runs after the ones before it on its page. ```python file=NAME adds to a file, which is a plugin
in the home folder; run=server needs a server at the address in the block, run=plugin imports those plugin files.
"""

from __future__ import annotations

import gc
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from stable_core_cli.app import main
from stable_core_client import Client, check_job

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("*.py"))
DEFAULT_URL = "http://127.0.0.1:7860"

# A client keeps its connections until it is collected; the examples leave that to the end of the program.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

RUNS_ALONE = {"run_a_job.py": []}
RUNS_WITH_SERVER = {"contact_sheet.py": ["photo.png", "sheet.png"], "watch.py": ["photo.png"]}


def blocks(page: Path) -> Iterator[tuple[dict[str, str], str]]:
    """Yield the marks and the text of every python block of a page."""
    for marks, text in re.findall(r"(?ms)^```python *(.*?)\n(.*?)^```$", page.read_text("utf-8")):
        yield dict(re.findall(r"(\w+)=(\S+)", marks)), text


def plugin_files(page: Path) -> dict[str, str]:
    """Return the plugin files that a page builds up block by block."""
    files: dict[str, str] = {}
    for marks, text in blocks(page):
        if "file" in marks:
            files[marks["file"]] = f"{files[marks['file']]}\n\n{text}" if marks["file"] in files else text
    return files


def program(page: Path) -> str:
    """Return the unmarked blocks of a page as one program."""
    return "\n\n".join(text for marks, text in blocks(page) if not marks)


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect what a test leaves behind within that test."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def docs_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home folder with the plugins that the docs build, shared by all tests here."""
    home = tmp_path_factory.mktemp("docs") / "home"
    (home / "plugins").mkdir(parents=True)
    negative = (ROOT / "plugins" / "invert" / "plugin.py").read_text("utf-8").replace('"invert"', '"negative"')
    (home / "plugins" / "negative.py").write_text(negative, "utf-8")
    for name, text in (plugin_files(DOCS / "tutorial.md") | plugin_files(ROOT / "README.md")).items():
        (home / "plugins" / name).write_text(text, "utf-8")
    (home / "plugins" / "guide.py").write_text(program(DOCS / "plugin_guide.md"), "utf-8")
    return home


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder that has only photo.png."""
    monkeypatch.chdir(tmp_path)
    PIL.Image.radial_gradient("L").convert("RGB").resize((96, 64)).save("photo.png")
    return tmp_path / "photo.png"


@pytest.fixture(scope="module")
def server(docs_home: Path) -> Iterator[str]:
    """Serve the shared home and return where."""
    command = [sys.executable, "-m", "stable_core_cli", "serve", "--home", str(docs_home), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().split()[3]
        process.terminate()


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES} == {*RUNS_ALONE, *RUNS_WITH_SERVER}


@pytest.mark.parametrize("name", RUNS_WITH_SERVER)
def test_an_example_with_a_server(
    name: str, server: str, photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STABLE_CORE_URL", server)
    monkeypatch.setattr(sys, "argv", [name, *RUNS_WITH_SERVER[name]])
    runpy.run_path(str(DOCS / "examples" / name), run_name="__main__")
    said = capsys.readouterr().out
    assert {"contact_sheet.py": "sheet.png: 5 pictures", "watch.py": "96 x 64 pixels"}[name] in said
    if name == "contact_sheet.py":
        with PIL.Image.open("sheet.png") as sheet:
            assert sheet.width > 5 * 128


def test_the_plugins_of_tutorial_and_readme_run_as_the_pages_say(server: str, photo: Path) -> None:
    client = Client(server)
    expected = {"dots.dots": 1, "dots.plates": 3, "dots.study": 3, "glow.glow": 1}
    for job, count in expected.items():
        assert len(client.run(job, photo)) == count, job
    mask = photo.with_name("mask.png")
    PIL.Image.radial_gradient("L").resize((20, 20)).convert("RGB").save(mask)
    assert len(client.run("dots.spotlight", photo, mask=mask)) == 1
    sweep = client.request("dots.dots", photo, cell={"each": [4, 8, 16]})
    assert len(check_job(client.wait(client.submit(sweep)["id"]))["outputs"]["image"]) == 3
    assert client.signature("qr.draw")["inputs"][0]["type"] == "text"


NEEDS_MORE = re.compile(r"\b(ID|NAME|sd\.txt2img|qr\.draw|serve)\b|plugin (new|install)|^stable-core( +\[|$)")
"""Commands with a placeholder, a large or distant package, or no end; they were tried by hand."""


def commands() -> list[str]:
    """Return the command lines of README, tutorial and plugin guide, without the explanation behind them."""
    found = []
    for page in (ROOT / "README.md", DOCS / "tutorial.md", DOCS / "plugin_guide.md"):
        for line in re.findall(r"(?m)^    (?:stable-core|\./start\.sh) +(.+)$", page.read_text("utf-8")):
            command = re.split(" {3,}", line)[0]
            if not NEEDS_MORE.search(command) and command not in found:
                found.append(command)
    return found


@pytest.mark.parametrize("command", commands())
def test_a_command_does_what_the_page_says(
    command: str, server: str, docs_home: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STABLE_CORE_HOME", str(docs_home))
    photo.with_name("face.png").write_bytes(photo.read_bytes())
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(command))
    assert ended.value.code in (0, None)


def test_the_plugin_of_the_guide_runs_job_by_job(server: str, photo: Path) -> None:
    client = Client(server)
    client.signature("guide.blur")  # the answer comes when the plugin has announced
    signatures = [signature for signature in client.signatures() if signature["name"].startswith("guide.")]
    with_image = [each for each in signatures if each["inputs"][0]["type"] == "image"]
    assert len(signatures) > 10
    jobs = [client.submit(client.request(each["name"], photo)) for each in with_image]
    for job in jobs:
        assert check_job(client.wait(job["id"]))["outputs"]


def test_the_tour_lists_what_lies_in_a_home_folder(server: str, docs_home: Path) -> None:
    page = (DOCS / "architecture.md").read_text("utf-8").partition("## The home folder")[2].partition("\n## ")[0]
    listed = {name.rstrip("/") for name in re.findall(r"(?m)^    (\S+)  ", page)}
    found = {re.sub("-(wal|shm)$", "", path.name) for path in docs_home.iterdir()}
    assert found <= listed
    assert len(found) > 8


@pytest.mark.parametrize("page", [DOCS / "tutorial.md", ROOT / "README.md"], ids=lambda page: page.name)
def test_a_client_program_on_a_page_runs(page: Path, server: str, photo: Path) -> None:
    programs = [text for marks, text in blocks(page) if marks.get("run") == "server"]
    assert programs
    for text in programs:
        assert DEFAULT_URL in text
        exec(compile(text.replace(DEFAULT_URL, server), page.name, "exec"), {"__name__": "page"})
    assert list(photo.parent.glob("*-*.png"))


def test_the_test_in_the_tutorial_passes(docs_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(docs_home / "plugins"))
    [text] = [text for marks, text in blocks(DOCS / "tutorial.md") if marks.get("run") == "plugin"]
    found: dict[str, Any] = {"__name__": "page"}
    exec(compile(text, "tutorial.md", "exec"), found)
    for name in [name for name in found if name.startswith("test_")]:
        found[name]()


def test_the_plugins_of_the_docs_keep_to_the_contract(docs_home: Path) -> None:
    plugins = docs_home / "plugins"
    options = [
        "-q",
        "-p",
        "stable_core_testing.contract",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(plugins),
        str(plugins),
    ]
    command = [sys.executable, "-m", "pytest", *options]
    for name in ("dots.py", "glow.py", "guide.py"):
        command += ["--stable-core-plugin", str(plugins / name)]
    quick = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, env=quick, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_an_example_without_a_server(
    docs_home: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("cache", "environments", "locks"):
        if (docs_home / name).is_dir():  # a test before has filled it
            (home / name).symlink_to(docs_home / name)
    for name, arguments in RUNS_ALONE.items():
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(DOCS / "examples" / name), run_name="__main__")
        state, path = capsys.readouterr().out.split()
        assert state == "succeeded"
        assert Path(path).is_relative_to(home)
        with PIL.Image.open(path) as picture:
            assert picture.size == (256, 256)

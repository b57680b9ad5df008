"""Environments: real ones, made by uv from small packages, and a stand-in for uv where only its call matters."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stable_core import environments
from stable_core.environments import (
    MARKER,
    Environments,
    EnvironmentSpec,
    pip_settings,
    uv_environment,
    uv_sources,
    worker_environment,
    worker_runtime,
)
from stable_core.errors import EnvironmentFailed

OLD = EnvironmentSpec(("markupsafe==2.1.5",))
NEW = EnvironmentSpec(("markupsafe==3.0.4",))
NEW_TOO = EnvironmentSpec(("MarkupSafe>=3", "markupsafe==3.0.4", "stable-core>=0.1"))


def ensure(home: Path, spec: EnvironmentSpec, report: Callable[[str], None] = lambda line: None) -> Path:
    return asyncio.run(Environments(home).ensure(spec, report))


def ask(python: Path, code: str) -> str:
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Return a home with two environments whose pins contradict each other, and their interpreters."""
    home = tmp_path_factory.mktemp("built")
    return home, ensure(home, OLD), ensure(home, NEW)


def test_contradicting_pins_live_side_by_side(built: tuple[Path, Path, Path]) -> None:
    _, old, new = built
    version = "import importlib.metadata as m, pydantic, PIL; print(m.version('markupsafe'))"
    assert (ask(old, version), ask(new, version)) == ("2.1.5", "3.0.4")


def test_equal_locks_share_one_environment(built: tuple[Path, Path, Path]) -> None:
    home, _, new = built
    lines: list[str] = []
    assert ensure(home, NEW_TOO, lines.append) == new
    assert not any("Making" in line for line in lines)


def test_what_is_complete_is_known_without_running_anything(
    built: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, old, _ = built
    monkeypatch.setattr(environments, "find_uv", lambda: pytest.fail("uv was started"))
    assert Environments(home).python_of(OLD) == old
    assert Environments(home).python_of(EnvironmentSpec(("iniconfig",))) is None
    assert ensure(home, OLD) == old


def test_files_are_shared_on_disk(built: tuple[Path, Path, Path]) -> None:
    _, old, _ = built
    files = [path for path in old.parent.parent.rglob("*") if path.is_file() and not path.is_symlink()]
    stats = [path.stat() for path in files]
    own = sum(stat.st_size for stat in stats if stat.st_nlink == 1)
    assert 0 < own < sum(stat.st_size for stat in stats) / 4


def test_callers_at_once_share_one_build(home: Path) -> None:
    async def run() -> tuple[list[Path], list[str]]:
        same = Environments(home)
        heard: list[str] = []
        pythons = await asyncio.gather(*(same.ensure(spec, heard.append) for spec in (NEW, NEW, NEW_TOO)))
        return pythons, heard

    pythons, heard = asyncio.run(run())
    assert len(set(pythons)) == 1
    assert sum("Making" in line for line in heard) == 1


@pytest.mark.parametrize("damage", ["marker", "python"])
def test_an_unfinished_or_damaged_environment_is_made_again(home: Path, damage: str) -> None:
    python = ensure(home, EnvironmentSpec())
    folder = python.parent.parent
    (folder / "rubbish").write_text("left over")
    (folder / MARKER if damage == "marker" else python).unlink()
    assert ensure(home, EnvironmentSpec()) == python
    assert (folder / MARKER).is_file()
    assert not (folder / "rubbish").exists()
    assert ask(python, "import pydantic; print('ok')") == "ok"


def test_a_shipped_lock_is_obeyed_and_completed(home: Path, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("# made by hand\nmarkupsafe==2.1.4\n")
    python = ensure(home, EnvironmentSpec(("markupsafe>=3",), lock))
    assert ask(python, "import importlib.metadata as m, pydantic, PIL; print(m.version('markupsafe'))") == "2.1.4"


def test_excluded_packages_are_left_out_although_others_ask_for_them(home: Path, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("jinja2==3.1.6\n")
    whole = ensure(home, EnvironmentSpec((), lock))
    lock.with_suffix(".excludes").write_text("markupsafe\n")
    without = ensure(home, EnvironmentSpec((), lock))
    question = "import importlib.util as u; print(bool(u.find_spec('jinja2')), bool(u.find_spec('markupsafe')))"
    assert (ask(whole, question), ask(without, question)) == ("True True", "True False")


def test_resolved_versions_stay(home: Path) -> None:
    ensure(home, EnvironmentSpec())
    (lock,) = home.glob("locks/*.lock")
    assert all("==" in line for line in lock.read_text().splitlines())
    assert "://" not in lock.read_text()
    lock.write_text(lock.read_text() + "iniconfig==2.0.0\n")
    assert (
        ask(ensure(home, EnvironmentSpec()), "import importlib.metadata as m; print(m.version('iniconfig'))") == "2.0.0"
    )


def test_a_package_that_does_not_exist(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvironmentFailed) as caught:
        ensure(home, EnvironmentSpec(("markupsafe==99.99",)))
    assert "markupsafe" in caught.value.traceback
    assert "dependencies" in caught.value.hint
    assert list(home.glob("locks/*")) == []


def test_no_network(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_CACHE_DIR", str(home / "empty-cache"))
    with pytest.raises(EnvironmentFailed) as caught:
        ensure(home, EnvironmentSpec(("markupsafe",)))
    assert "online" in caught.value.hint


@pytest.mark.parametrize("requires", [">=3.99", "the newest"])
def test_no_python_that_fits(home: Path, monkeypatch: pytest.MonkeyPatch, requires: str) -> None:
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    with pytest.raises(EnvironmentFailed) as caught:
        ensure(home, EnvironmentSpec(requires_python=requires))
    assert "another Python" in caught.value.hint


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("error: failed to write: No space left on device (os error 28)", "disk"),
        ("error: Failed to fetch\n dns error: failed to lookup address information", "online"),
        ("× No solution found when resolving dependencies", "dependencies"),
        ("× Failed to build `thing==1`", "compiler"),
        ("error: Permission denied (os error 13)", "writable"),
        ("error: something nobody has seen before", "output"),
    ],
)
def test_what_uv_says_becomes_a_hint(home: Path, stand_in: StandIn, said: str, hint: str) -> None:
    stand_in.answer("pip", said, code=2)
    with pytest.raises(EnvironmentFailed) as caught:
        ensure(home, EnvironmentSpec())
    assert hint in caught.value.hint
    assert caught.value.traceback == "\n".join(line.strip() for line in said.splitlines())
    assert caught.value.message.endswith(f"made: {said.splitlines()[0].removeprefix('error: ').lstrip('× ')}")


class StandIn:
    """A script in the place of uv: notes how it is called, answers as told, or hangs."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "calls.jsonl"
        self.answers = folder / "answers.json"
        self.script = folder / "uv"
        self.answers.write_text("{}")
        code = f"""\
            #!{sys.executable}
            import json, os, sys, time
            from pathlib import Path
            arguments = sys.argv[1:]
            with open({str(self.log)!r}, "a") as log:
                print(json.dumps({{"arguments": arguments, "environ": dict(os.environ), "pid": os.getpid()}}), file=log)
            for word, (said, code, hangs) in json.loads(Path({str(self.answers)!r}).read_text()).items():
                if word in arguments:
                    print(said, file=sys.stderr, flush=True)
                    time.sleep(hangs)
                    sys.exit(code)
            if "--output-file" in arguments:
                wanted = Path(arguments[2]).read_text()
                Path(arguments[arguments.index("--output-file") + 1]).write_text(wanted)
            if arguments[0] == "venv":
                python = Path(arguments[-1], "bin", "python")
                python.parent.mkdir(parents=True)
                python.touch()
        """
        self.script.write_text(textwrap.dedent(code))
        self.script.chmod(0o755)

    def answer(self, word: str, said: str, code: int = 0, hangs: int = 0) -> None:
        self.answers.write_text(json.dumps(json.loads(self.answers.read_text()) | {word: [said, code, hangs]}))

    def calls(self) -> list[list[str]]:
        return [json.loads(line)["arguments"] for line in self.log.read_text().splitlines()]

    def last(self) -> dict[str, str]:
        return dict(json.loads(self.log.read_text().splitlines()[-1])["environ"])

    def pids(self) -> list[int]:
        return [json.loads(line)["pid"] for line in self.log.read_text().splitlines()]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Put the stand-in in the place of uv, with no pip or uv settings around."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    folder = tmp_path / "stand-in"
    folder.mkdir()
    found = StandIn(folder)
    monkeypatch.setattr(environments, "find_uv", lambda: str(found.script))
    return found


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_cancelling_kills_uv(home: Path, stand_in: StandIn) -> None:
    stand_in.answer("install", "Downloading something big", hangs=60)

    async def run() -> None:
        downloading = asyncio.Event()
        same = Environments(home)

        def listen(line: str) -> None:
            if "Downloading" in line:
                downloading.set()

        waiting = asyncio.create_task(same.ensure(EnvironmentSpec(), listen))
        await downloading.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not any(is_alive(pid) for pid in stand_in.pids())
        stand_in.answer("install", "")
        assert (await same.ensure(EnvironmentSpec())).exists()

    asyncio.run(run())


def test_cancelling_one_caller_leaves_the_build_to_the_other(home: Path, stand_in: StandIn) -> None:
    stand_in.answer("install", "Downloading something small", hangs=0)

    async def run() -> None:
        same = Environments(home)
        first_line = asyncio.Event()
        impatient = asyncio.create_task(same.ensure(EnvironmentSpec(), lambda line: first_line.set()))
        patient = asyncio.create_task(same.ensure(EnvironmentSpec()))
        await first_line.wait()
        impatient.cancel()
        assert (await patient).exists()
        assert impatient.cancelled() or impatient.done()

    asyncio.run(run())
    assert sum(call[0] == "venv" for call in stand_in.calls()) == 1


def test_torch_fits_the_machine(home: Path, stand_in: StandIn) -> None:
    ensure(home, EnvironmentSpec(("torch",)))
    compiled, _, installed = stand_in.calls()
    assert "--torch-backend=auto" in compiled
    assert "--torch-backend=auto" in installed


def test_torch_comes_from_the_configured_index_where_its_own_cannot_be_reached(home: Path, stand_in: StandIn) -> None:
    stand_in.answer("--torch-backend=auto", "error: dns error\n https://download.pytorch.org/whl/cpu/torch/", code=2)
    lines: list[str] = []
    ensure(home, EnvironmentSpec(("torch",)), lines.append)
    chosen = ["--torch-backend=auto" in call for call in stand_in.calls() if call[0] == "pip"]
    assert chosen == [True, False, True, False]
    assert sum("configured index" in line for line in lines) == 2


@pytest.mark.parametrize("name", ["PIP_FIND_LINKS", "UV_FIND_LINKS", "UV_TORCH_BACKEND"])
def test_torch_comes_from_where_the_user_says(
    home: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "somewhere")
    ensure(home, EnvironmentSpec(("torch", "torchmetrics")))
    assert not any("--torch-backend=auto" in call for call in stand_in.calls())


def test_what_fails_without_torch_is_not_tried_again(home: Path, stand_in: StandIn) -> None:
    stand_in.answer("--torch-backend=auto", "error: dns error", code=2)
    with pytest.raises(EnvironmentFailed):
        ensure(home, EnvironmentSpec(("markupsafe",)))
    assert len(stand_in.calls()) == 1


def test_pip_without_index(home: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    ensure(home, EnvironmentSpec())
    assert ["--no-index" in call for call in stand_in.calls()] == [True, False, True]


def test_uv_sees_no_token_and_no_other_environment(
    home: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STABLE_CORE_TOKEN", "VIRTUAL_ENV", "PYTHONPATH"):
        monkeypatch.setenv(name, "private")
    ensure(home, EnvironmentSpec())
    assert "private" not in stand_in.last().values()


def test_a_wheel_folder_named_for_pip_is_used(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "never_published_here-1.0-py3-none-any.whl", "w") as wheel:
        info = "never_published_here-1.0.dist-info"
        wheel.writestr("never_published_here.py", "")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: never-published-here\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    python = ensure(home, EnvironmentSpec(("never-published-here",)))
    assert ask(python, "import never_published_here; print('ok')") == "ok"


def test_pip_settings_become_uv_settings() -> None:
    pip = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "https://mirror/simple",
        "PIP_EXTRA_INDEX_URL": "https://one/simple\nhttps://two/simple",
        "PIP_FIND_LINKS": "/wheels https://links/",
        "PIP_CERT": "/ca.pem",
        "PIP_TRUSTED_HOST": "mirror",
        "PIP_DEFAULT_TIMEOUT": "180",
        "PIP_PROXY": "http://proxy:3128",
    }
    assert uv_sources(pip) == {
        "UV_DEFAULT_INDEX": "https://mirror/simple",
        "UV_INDEX": "https://one/simple https://two/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/wheels,https://links/",
        "SSL_CERT_FILE": "/ca.pem",
        "UV_INSECURE_HOST": "mirror",
        "UV_HTTP_TIMEOUT": "180",
        "ALL_PROXY": "http://proxy:3128",
    }
    assert uv_sources({**pip, "UV_INDEX_URL": "x", "UV_EXTRA_INDEX_URL": "y", "UV_FIND_LINKS": "z"}).keys() == {
        *("UV_INDEX_STRATEGY", "SSL_CERT_FILE", "UV_INSECURE_HOST", "UV_HTTP_TIMEOUT", "ALL_PROXY")
    }
    assert uv_sources({"PIP_CONFIG_FILE": os.devnull}) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="where Linux keeps pip's files")
def test_pip_files_are_read_weakest_first(tmp_path: Path) -> None:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    write("xdg/pip/pip.conf", "[global]\nindex-url = shared\ncert = shared\nproxy = shared\n")
    write(".pip/pip.conf", "[install]\nfind_links = old one\n")
    write(".config/pip/pip.conf", "[global]\nindex-url = own\nfind-links =\n    new\n    more\ncert = own\n")
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "xdg"), "PIP_CERT": "variable"}
    found = pip_settings(environ)
    assert (found["index-url"], found["cert"], found["proxy"]) == ("own", "variable", "shared")
    assert found["find-links"] == "old one"  # [install] is stronger than [global]
    named = write("named.conf", "[global]\nindex-url = named\n")
    assert pip_settings({**environ, "PIP_CONFIG_FILE": str(named)})["index-url"] == "named"
    write(".config/pip/pip.conf", "this is no configuration file")
    assert pip_settings(environ)["index-url"] == "shared"


def test_the_cache_is_where_it_can_be_linked_from(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV_CACHE_DIR", raising=False)
    assert "UV_CACHE_DIR" not in uv_environment(home)
    monkeypatch.setattr(environments, "_device", lambda path: int(path == home))
    assert uv_environment(home)["UV_CACHE_DIR"] == str(home / "cache" / "uv")
    monkeypatch.setenv("UV_CACHE_DIR", "/elsewhere")
    assert uv_environment(home)["UV_CACHE_DIR"] == "/elsewhere"


@pytest.mark.parametrize("requires", ["", ">=3.11", ">=3.11,<4"])
def test_a_python_that_fits_is_taken(home: Path, stand_in: StandIn, requires: str) -> None:
    ensure(home, EnvironmentSpec(requires_python=requires))
    assert all(sys.executable in call for call in stand_in.calls() if "install" not in call)


def test_another_python_is_asked_for_where_this_one_does_not_fit(home: Path, stand_in: StandIn) -> None:
    ensure(home, EnvironmentSpec(requires_python="==3.10.*"))
    assert all("==3.10.*" in call for call in stand_in.calls() if "install" not in call)


def test_workers_get_the_sdk_and_nothing_else(home: Path) -> None:
    runtime = worker_runtime(home)
    code = """
        import importlib.util, stable_core, stable_core.sdk, stable_core.worker
        print(stable_core.__file__, importlib.util.find_spec("stable_core.core"))
    """
    said = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=worker_environment(home), capture_output=True, text=True
    )
    assert said.stdout.split() == [str(runtime / "stable_core" / "__init__.py"), "None"], said.stderr
    assert worker_runtime(home) == runtime
    assert [path.name for path in (home / "cache").iterdir()] == [runtime.name]


def test_workers_get_no_secret(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "HF_TOKEN": "no",
        "AWS_SECRET_ACCESS_KEY": "no",
        "STABLE_CORE_TOKEN": "no",
        "OPENAI_API_KEY": "no",
        "CUDA_SECRET": "no",
        "SSH_AUTH_SOCK": "no",
        "PYTHONDONTWRITEBYTECODE": "no",
        "CUDA_VISIBLE_DEVICES": "yes",
        "OMP_NUM_THREADS": "yes",
        "HF_HOME": "yes",
        "https_proxy": "yes",
        "LC_ALL": "yes",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    environ = worker_environment(home)
    assert {name for name in given if name in environ} == {name for name, value in given.items() if value == "yes"}
    assert environ["PATH"] == os.environ["PATH"]

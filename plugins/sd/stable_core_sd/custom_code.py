"""Python that a person sends, run with the jobs of the plugin at hand. Whether that is allowed is not decided here.

As in A1111's script of this name, the last expression or what is returned is the result, and `display` shows pictures.
"""

from __future__ import annotations

import ast
import contextlib
import io
import random
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from PIL import Image

from stable_core.sdk import InvalidParams, JobSignature, Progress
from stable_core.sdk.params import MAX_SEED, check_params
from stable_core_sd.ports import CodeResult

_FILE = "<custom code>"
_FUNCTION = "custom_code"


def run_code(code: str, names: Mapping[str, Any]) -> CodeResult:
    """Return the pictures and the text that code makes: what it displays, prints and returns.

    Args:
        code: statements as in the body of a function; they may return.
        names: what the code can use by name.

    Raises:
        InvalidParams: it is no Python, or it failed; the message names the line.
    """
    shown: list[Image.Image] = []
    written = io.StringIO()
    scope = {**names, "display": lambda *values: shown.extend(pictures_in(values))}
    try:
        exec(compile(as_function(code), _FILE, "exec"), scope)
        with contextlib.redirect_stdout(written):
            made = scope[_FUNCTION]()
    except SyntaxError as error:
        raise InvalidParams(f"Line {error.lineno} of the code: {error.msg}.", "The code is Python.") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - code can fail in any way
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == _FILE]
        what = f"{type(error).__name__}: {error}".rstrip(": .")
        raise InvalidParams(f"Line {lines[-1] if lines else 1} of the code: {what}.", "Change the code.") from None
    pictures = list(pictures_in([made]))
    if not pictures and made is not None:
        written.write(str(made))
    return CodeResult([*shown, *pictures], written.getvalue())


def as_function(code: str) -> ast.Module:
    """Return a module with one function whose body is the code; it returns the last expression.

    Raises:
        SyntaxError: it is no Python.
    """
    body = ast.parse(code, _FILE).body
    if body and isinstance(body[-1], ast.Expr):
        last = body[-1]
        body[-1] = ast.copy_location(ast.Return(last.value), last)
    module = ast.parse(f"def {_FUNCTION}(): pass")
    function = module.body[0]
    assert isinstance(function, ast.FunctionDef)
    function.body = body or function.body
    return ast.fix_missing_locations(module)


def pictures_in(values: Iterable[Any]) -> Iterator[Image.Image]:
    """Yield all pictures in values, also those in lists."""
    for value in values:
        if isinstance(value, Image.Image):
            yield value
        elif isinstance(value, list | tuple | Iterator):
            yield from pictures_in(value)


def job_functions(signatures: Iterable[JobSignature], progress: Progress) -> dict[str, Callable[..., Any]]:
    """Return jobs as functions by name: `txt2img("a red circle", steps=10)`; inputs come first, or by name."""
    return {one.name: _as_function_of(one, progress) for one in signatures if one.kind == "job"}


def _as_function_of(signature: JobSignature, progress: Progress) -> Callable[..., Any]:
    ports = [port.name for port in signature.inputs]
    needed = [port.name for port in signature.inputs if not port.is_optional]

    def call(*inputs: Any, **named: Any) -> Any:
        if len(inputs) > len(ports):
            raise TypeError(f"{signature.name} takes {len(ports)} inputs, got {len(inputs)}")
        given = dict(zip(ports, inputs, strict=False)) | {name: named.pop(name) for name in ports if name in named}
        if missing := [name for name in needed if name not in given]:
            raise TypeError(f"{signature.name} needs {', '.join(missing)}")
        seed = signature.params.model_fields.get("seed")
        if seed is not None and named.get("seed", seed.default) == -1:
            named["seed"] = random.SystemRandom().randint(0, MAX_SEED)
        result = signature.call(given, check_params(signature.params, named), progress)
        made = [value for _, value in signature.outputs_of(result)]
        return made if len(made) != 1 or signature.outputs[0].is_list else made[0]

    call.__doc__ = signature.function.__doc__
    return call

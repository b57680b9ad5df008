"""The tree of errors: drawn, defined, named, carried over the wire."""

from __future__ import annotations

import inspect

import pytest

from stable_core import errors
from stable_core.errors import (
    InvalidParams,
    JobCancelled,
    PluginRaised,
    StableCoreError,
    error_classes,
    error_from_dict,
)


def drawn_tree() -> dict[str, str]:
    """Return the drawing at the top of the module as {class: base}."""
    tree: dict[str, str] = {}
    above: list[str] = []
    for line in inspect.cleandoc(errors.__doc__ or "").splitlines():
        name = line.strip(" │├└─")
        if name.isidentifier():
            above[line.index(name) // 4 :] = [name]
            tree[name] = "".join(above[-2:-1])
    return tree


def test_the_drawing_is_true() -> None:
    real = {cls.__name__: cls.__base__.__name__ for cls in error_classes()}  # type: ignore[union-attr]
    assert drawn_tree() == {**real, "StableCoreError": "", "JobCancelled": ""}


def test_every_public_exception_is_in_the_tree() -> None:
    public = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, BaseException)
    }
    assert public == set(drawn_tree())


def test_a_cancel_is_no_error() -> None:
    assert not issubclass(JobCancelled, Exception)


def test_codes_are_unique_and_say_the_class() -> None:
    codes = [cls.code() for cls in error_classes()]
    assert len(set(codes)) == len(codes)
    assert (InvalidParams.code(), StableCoreError.code()) == ("invalid_params", "stable_core_error")


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("BadRequest", 400),
        ("NotAllowed", 403),
        ("NotFound", 404),
        ("Conflict", 409),
        ("TooLarge", 413),
        ("InvalidParams", 422),
        ("InvalidInput", 422),
        ("ConfigError", 500),
    ],
)
def test_statuses(name: str, status: int) -> None:
    assert getattr(errors, name).status == status


@pytest.mark.parametrize("cls", list(error_classes()), ids=lambda cls: cls.__name__)
def test_errors_cross_the_wire(cls: type[StableCoreError]) -> None:
    received = error_from_dict(cls("what", "do this").to_dict())
    assert type(received) is cls
    assert (str(received), received.message, received.hint, received.traceback) == ("what", "what", "do this", "")


def test_a_traceback_crosses_too_and_is_left_out_when_empty() -> None:
    body = PluginRaised("what", "do this", "Traceback …").to_dict()
    assert error_from_dict(body).traceback == "Traceback …"
    assert "traceback" not in PluginRaised("what").to_dict()


def test_an_unknown_code_gives_the_base_class() -> None:
    received = error_from_dict({"code": "of_the_future", "message": "what"})
    assert type(received) is StableCoreError
    assert received.message == "what"

"""Where styles are kept: `styles.csv` of the models folders. What a style does to a prompt is in prompt.styles.

All files are read: `styles.csv` and `styles/*.csv` in each models folder, and A1111's own, which lies beside its folder
`models`. Of two styles of one name the first counts. New ones go into the first models folder, the home folder's.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stable_core.sdk import InvalidParams
from stable_core_sd.model_roots import model_roots
from stable_core_sd.prompt.styles import Style, read_csv, save_csv


def style_files() -> list[Path]:
    """Return the files there are, in the order in which they count."""
    found: list[Path] = []
    for root in model_roots():
        found += [root / "styles.csv", *sorted((root / "styles").glob("*.csv"))]
        found += [root.parent / "styles.csv"] if root.name.lower() == "models" else []
    return [path for path in dict.fromkeys(found) if path.is_file()]


def known_styles() -> dict[str, tuple[Style, Path]]:
    """Return the styles by name, each with its file.

    Raises:
        InvalidParams: a file is no table in UTF-8.
    """
    known: dict[str, tuple[Style, Path]] = {}
    for path in style_files():
        for style in _read(path):
            known.setdefault(style.name, (style, path))
    known.pop("", None)  # a row without a name
    return known


def find_styles(names: Iterable[str]) -> tuple[list[Style], list[str]]:
    """Return the styles of these names and the names that there are none of.

    Raises:
        InvalidParams: a file is no table in UTF-8.
    """
    names = list(names)
    known = known_styles() if names else {}
    return [known[name][0] for name in names if name in known], [name for name in names if name not in known]


def save_style(style: Style) -> Path:
    """Write a style into the home folder's file, in place of one of that name; the file is returned.

    Raises:
        InvalidParams: the name cannot be used, or there is no folder to write to.
    """
    if not style.name.strip() or style.name.startswith("#"):
        raise InvalidParams(f"A style cannot be called {style.name!r}.", "Choose a name that does not begin with #.")
    path = _own_file()
    styles = {one.name: one for one in (_read(path) if path.is_file() else [])}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_csv(path, (styles | {style.name: style}).values())
    return path


def delete_style(name: str) -> Path:
    """Take a style out of the home folder's file, which is returned.

    Raises:
        InvalidParams: it is not there.
    """
    path = _own_file()
    styles = _read(path) if path.is_file() else []
    if all(style.name != name for style in styles):
        elsewhere = known_styles().get(name)
        hint = f"It is in {elsewhere[1]}, which is not changed from here." if elsewhere else "List them with sd.styles."
        raise InvalidParams(f"There is no style {name!r} in {path}.", hint)
    save_csv(path, [style for style in styles if style.name != name])
    return path


def _read(path: Path) -> list[Style]:
    try:
        return read_csv(path.read_bytes().decode("utf-8-sig"))
    except ValueError:
        raise InvalidParams(f"{path} is not in UTF-8.", "Save it as UTF-8 in a text editor.") from None


def _own_file() -> Path:
    roots = model_roots()
    if not roots:
        raise InvalidParams("There is no models folder to keep styles in.", "Name one in STABLE_CORE_MODELS.")
    return roots[0] / "styles.csv"

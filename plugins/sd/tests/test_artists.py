"""A random artist: lists in the models folders, categories, seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stable_core.sdk import InvalidParams, Progress
from stable_core_sd.artists import artists_file, read_artists
from stable_core_sd.model_roots import BUNDLED
from stable_core_sd.params_prompts import RandomArtistParams
from stable_core_sd.scripts import random_artist


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "webui" / "models"
    folder.mkdir(parents=True)
    monkeypatch.setenv("STABLE_CORE_MODELS", str(folder))
    return folder


def roll(prompt: str = "a ship", **knobs: Any) -> str:
    return str(random_artist(prompt, RandomArtistParams(**knobs), Progress()))


def test_a_seed_chooses_an_artist(root: Path) -> None:
    names = {artist.name for artist in read_artists(artists_file())}
    rolled = [roll(seed=seed) for seed in range(30)]
    assert rolled == [roll(seed=seed) for seed in range(30)]
    assert len(set(rolled)) > 15
    assert all(text.removeprefix("a ship, by ") in names for text in rolled)
    assert len({roll() for _ in range(30)}) > 5
    assert roll("", seed=3) == f"by {rolled[3].removeprefix('a ship, by ')}"
    assert roll(seed=3, words="{artist}") == rolled[3].replace("by ", "")


def test_categories(root: Path) -> None:
    japanese = {artist.name for artist in read_artists(artists_file()) if artist.category == "ukiyo-e"}
    assert {roll(categories=["ukiyo-e"], seed=seed).removeprefix("a ship, by ") for seed in range(80)} == japanese
    with pytest.raises(InvalidParams, match="photography") as unknown:
        roll(categories=["photography"])
    assert "ukiyo-e" in str(unknown.value.hint)


def test_the_list_of_a_person_takes_the_place_of_ours(root: Path) -> None:
    assert artists_file() == BUNDLED / "artists.csv"
    (root.parent / "artists.csv").write_text("artist,score,category\nA. Nobody,0.9,c\n, ,c\n")
    assert roll() == "a ship, by A. Nobody"
    (root / "artists.txt").write_text("\ufeffB. Nobody\n\n", "utf-8")
    assert roll() == "a ship, by B. Nobody"


@pytest.mark.parametrize(
    ("name", "content", "wrong"),
    [
        ("artists.csv", b"name,category\nA,b\n", "no column artist"),
        ("artists.csv", b"artist,category\n", "names no artist"),
        ("artists.txt", "É".encode("latin-1"), "UTF-8"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(root: Path, name: str, content: bytes, wrong: str) -> None:
    (root / name).write_bytes(content)
    with pytest.raises(InvalidParams, match=wrong):
        roll()


def test_our_list_is_well_formed() -> None:
    artists = read_artists(BUNDLED / "artists.csv")
    assert len({artist.name for artist in artists}) == len(artists)
    assert all(artist.category for artist in artists)

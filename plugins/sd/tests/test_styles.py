"""Styles where the reference cases do not look: round trips, broken files."""

from __future__ import annotations

from pathlib import Path

from stable_core_sd.prompt.styles import (
    Style,
    apply_styles,
    extract_styles,
    extract_text,
    read_csv,
    save_csv,
    write_csv,
)

STYLES = [
    Style("Cine", "cinematic still {prompt}, film grain", "cartoon"),
    Style("Best", "masterpiece", "lowres, blurry"),
    Style("Sign", 'a "quoted", text\nover two lines'),
]


def test_what_is_added_is_found_again() -> None:
    for chosen in ([0], [1, 0], [0, 1, 2], [2, 1]):
        prompt = apply_styles("a cat", [STYLES[index].prompt for index in chosen])
        negative = apply_styles("bad", [STYLES[index].negative_prompt for index in chosen])
        names, rest, negative_rest = extract_styles(STYLES, prompt, negative)
        assert (names, rest, negative_rest) == ([STYLES[index].name for index in chosen], "a cat", "bad")


def test_the_ends_of_a_style_do_not_overlap() -> None:
    assert extract_text("a{prompt}a", "a") is None
    assert extract_text("a{prompt}a", "aa") == ""


def test_a_table_reads_as_it_was_written(tmp_path: Path) -> None:
    assert read_csv(write_csv(STYLES)) == STYLES
    path = tmp_path / "styles.csv"
    save_csv(path, STYLES[:1])
    assert not path.with_name("styles.csv.bak").exists()
    save_csv(path, STYLES)
    assert read_csv(path.with_name("styles.csv.bak").read_text("utf-8")) == STYLES[:1]
    assert path.read_bytes().startswith(b"\xef\xbb\xbfname,prompt,negative_prompt\r\n")


def test_rows_may_be_short_or_of_2022_and_tables_foreign() -> None:
    assert read_csv("name,text\nA,p\n") == [Style("A", "p")]
    assert read_csv("name,prompt,negative_prompt\nA,p\n,x,y\n") == [Style("A", "p"), Style("", "x", "y")]
    assert read_csv("one,two\n1,2\n") == []
    assert read_csv("") == []

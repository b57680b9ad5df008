"""Regions are numbered, grown, shrunk and filled as one sees in small masks."""

import numpy as np
import pytest

from training.nano.regions import Mask, fill_holes, grow, label_regions, largest_region, shrink

SHAPES = """
#.##..
#..#.#
.#####
#.....
"""


def mask_of(text: str) -> Mask:
    return np.array([[place != "." for place in line] for line in text.split()])


def text_of(numbers: np.ndarray) -> str:
    return "\n" + "".join("".join(".#23456789"[number] for number in line) + "\n" for line in numbers.astype(int))


def test_regions_touch_at_their_sides() -> None:
    labels, sizes = label_regions(mask_of(SHAPES))
    assert text_of(labels) == "\n#.22..\n#..2.2\n.22222\n3.....\n"
    assert sizes.tolist() == [2, 9, 1]


def test_with_corners_regions_touch_at_those_too() -> None:
    labels, sizes = label_regions(mask_of(SHAPES), corners=True)
    assert np.array_equal(labels == 1, mask_of(SHAPES))
    assert sizes.tolist() == [12]


def test_a_long_way_is_one_region() -> None:
    spiral = mask_of("""
        #########
        ........#
        #######.#
        #.....#.#
        #.###.#.#
        #.#...#.#
        #.#####.#
        #.......#
        #########
    """)
    assert label_regions(spiral)[1].tolist() == [spiral.sum()]


def test_the_largest_region_is_the_first_of_equals() -> None:
    assert text_of(largest_region(mask_of("##.#\n...#"))) == "\n##..\n....\n"
    assert not largest_region(np.zeros((3, 3), dtype=bool)).any()


def test_growing_adds_a_diamond_and_stops_at_the_edge() -> None:
    assert text_of(grow(mask_of("#....\n.....\n....."), 2)) == "\n###..\n##...\n#....\n"


def test_shrinking_begins_at_the_edge_too() -> None:
    assert text_of(shrink(np.ones((5, 6), dtype=bool), 2)) == "\n......\n......\n..##..\n......\n......\n"


@pytest.mark.parametrize(
    ("given", "filled"),
    [
        ("###\n#.#\n###", "\n###\n###\n###\n"),
        ("##.\n#.#\n###", "\n##.\n###\n###\n"),
        ("#.#\n#.#\n###", "\n#.#\n#.#\n###\n"),
    ],
)
def test_holes_are_what_no_side_leads_out_of(given: str, filled: str) -> None:
    assert text_of(fill_holes(mask_of(given))) == filled

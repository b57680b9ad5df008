"""Read colours, shapes, places and landscape features back from the pixels of a picture.

It judges pictures of the nano model's world only; it must be right about every real drawing, and it loads no model.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from training.nano.drawing import (
    CAP,
    CROWN,
    DIMMED,
    DOOR,
    GROUND_COLORS,
    HULL,
    LAKE,
    MOON,
    MOUNTAIN,
    PINE,
    SAIL,
    SKY_COLORS,
    SUN,
    TRUNK,
    WALL,
    draw_shape,
)
from training.nano.regions import Mask, fill_holes, grow, label_regions, largest_region, shrink
from training.nano.scenes import COLORS, PALETTE, ROOF_COLORS, SHAPES, Thing

TEMPLATE_SIDE = 256
TEMPLATE_RADIUS = 0.4
SMALLEST = 100
"""A component of fewer pixels is a speck, not an object."""
SPECK = 16
"""Specks of fewer pixels are overlooked; a larger one is one object too many."""
LIKENESS = 0.75
"""A shape counts only if it covers its ideal outline this well (intersection over union)."""

_PALETTE = np.array([PALETTE[color] for color in COLORS], np.float64)


@dataclass(frozen=True)
class Found:
    """One object: x, y are the middle of its bounding box as shares of the picture; likeness is 0 to 1."""

    color: str
    shape: str
    x: float
    y: float
    likeness: float


def nearest_color(pixel: np.ndarray) -> str:
    """Name the palette colour nearest to an RGB value."""
    return COLORS[int(np.square(_PALETTE - pixel).sum(1).argmin())]


def find_background(pixels: np.ndarray) -> str:
    """Name the colour of the picture's frame; pixels is (128, 128, 3)."""
    frame = np.concatenate(
        [
            pixels[:3].reshape(-1, 3),
            pixels[-3:].reshape(-1, 3),
            pixels[:, :3].reshape(-1, 3),
            pixels[:, -3:].reshape(-1, 3),
        ]
    )
    return nearest_color(np.median(frame, 0))


def find_objects(pixels: np.ndarray, background: str | None = None, region: Mask | None = None) -> list[Found]:
    """List the objects on a flat background from left to right; region limits where to look."""
    pixels = pixels.astype(np.float64)
    ground = np.array(PALETTE[background or find_background(pixels)], np.float64)
    apart = np.sqrt(np.square(pixels - ground).sum(2)) > 40
    if region is not None:
        apart &= region
    labels, sizes = label_regions(apart, corners=True)
    found = [_describe(pixels, labels == 1 + index, ground) for index in np.flatnonzero(sizes >= SPECK)]
    return sorted(found, key=lambda thing: thing.x)


def find_nested(pixels: np.ndarray) -> tuple[Found, Found] | None:
    """Find one object inside another, as (inner, outer); None if there is no such pair."""
    pixels = pixels.astype(np.float64)
    ground = np.array(PALETTE[find_background(pixels)], np.float64)
    outer = fill_holes(largest_region(np.sqrt(np.square(pixels - ground).sum(2)) > 40))
    rim = shrink(outer, 2) & ~shrink(outer, 5)
    if not rim.any():
        return None
    outer_color = nearest_color(np.median(pixels[rim], 0))
    inner = find_objects(pixels, outer_color, shrink(outer, 4))
    if len(inner) != 1:
        return None
    shape, likeness = nearest_shape(outer)
    x, y = _middle(outer)
    return inner[0], Found(outer_color, shape, x, y, likeness)


def _describe(pixels: np.ndarray, rough: Mask, ground: np.ndarray) -> Found:
    core = shrink(rough, 2)
    color = np.median(pixels[core if core.sum() >= SPECK else rough], 0)
    axis = color - ground
    cover = (pixels - ground) @ axis / max(float(axis @ axis), 1.0)
    mask = (cover > 0.5) & grow(rough, 2)
    mask = mask if mask.any() else rough
    shape, likeness = nearest_shape(mask) if mask.sum() >= SMALLEST else ("", 0.0)
    x, y = _middle(mask)
    return Found(nearest_color(color), shape if likeness >= LIKENESS else "", x, y, likeness)


def _middle(mask: Mask) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    return (columns.min() + columns.max() + 1) / 2 / width, (rows.min() + rows.max() + 1) / 2 / height


@cache
def _template(shape: str) -> tuple[Mask, float, float, float]:
    picture = Image.new("RGB", (TEMPLATE_SIDE, TEMPLATE_SIDE))
    draw_shape(
        ImageDraw.Draw(picture), Thing(shape, "", 0.5, 0.5, TEMPLATE_RADIUS), (255, 255, 255), (0, 0, 0), TEMPLATE_SIDE
    )
    mask = np.asarray(picture)[:, :, 0] > 127
    rows, columns = np.nonzero(mask)
    return mask, float(columns.mean()), float(rows.mean()), float(mask.sum())


def nearest_shape(mask: Mask) -> tuple[str, float]:
    """Name the shape whose ideal outline, at the same place and area, covers the mask best, and how well (0 to 1)."""
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    grid_y, grid_x = np.mgrid[:height, :width]
    scores = {}
    for shape in SHAPES:
        template, middle_x, middle_y, area = _template(shape)
        scale = np.sqrt(area / len(rows))
        x = np.rint((grid_x - columns.mean()) * scale + middle_x).astype(int)
        y = np.rint((grid_y - rows.mean()) * scale + middle_y).astype(int)
        inside = (x >= 0) & (x < TEMPLATE_SIDE) & (y >= 0) & (y < TEMPLATE_SIDE)
        ideal = np.zeros_like(mask)
        ideal[inside] = template[y[inside], x[inside]]
        scores[shape] = float((ideal & mask).sum() / (ideal | mask).sum())
    best = max(scores, key=lambda shape: scores[shape])
    return best, scores[best]


def _above(mask: Mask, reach: int) -> Mask:
    rows, columns = np.nonzero(mask)
    above = np.zeros_like(mask)
    above[max(0, rows.min() - reach) : rows.min() + 2, columns.min() : columns.max() + 1] = True
    return above


def _landscape_parts(pixels: np.ndarray) -> dict[str, Mask]:
    # Every pixel goes to the nearest of all colours that a landscape under this sky can have.
    top = np.median(pixels[:4].reshape(-1, 3), 0)
    sky = min(SKY_COLORS, key=lambda name: float(np.square(top - np.array(SKY_COLORS[name][0])).sum()))
    light = {"day": 1.0, "night": 0.78, "sunset": 0.8}[sky]
    lit = {"wall": WALL, "door": DOOR, "hull": HULL, "sail": SAIL, "crown": CROWN, "pine": PINE, "trunk": TRUNK}
    lit |= {f"roof {color}": PALETTE[color] for color in ROOF_COLORS}
    colors = {name: np.array(color) * light for name, color in lit.items()}
    colors |= {name: np.array(color) * DIMMED[sky] for name, color in GROUND_COLORS.items()}
    colors |= {"lake": np.array(LAKE) * DIMMED[sky], "sun": np.array(SUN), "moon": np.array(MOON)}
    colors |= {"rock": np.array(MOUNTAIN) * max(DIMMED[sky], 0.7), "cap": np.array(CAP) * max(DIMMED[sky], 0.8)}
    first, last = (np.array(color) for color in SKY_COLORS[sky])
    colors |= {f"sky {step}": first + (last - first) * step / 4 for step in range(5)}
    table = np.stack(list(colors.values()))
    nearest = np.square(pixels[:, :, None] - table).sum(3).argmin(2)
    return {name: nearest == index for index, name in enumerate(colors)}


def find_features(pixels: np.ndarray) -> set[str]:
    """Name which of house, boat, trees, pines and stars a landscape shows."""
    pixels = pixels.astype(np.float64)
    parts = _landscape_parts(pixels)
    found = set()
    walls, hull = largest_region(parts["wall"]), largest_region(parts["hull"])
    if walls.sum() > 250 and max((parts[f"roof {color}"] & _above(walls, 24)).sum() for color in ROOF_COLORS) > 150:
        found.add("house")
    if hull.sum() > 150 and ((parts["sail"] | parts["cap"]) & _above(hull, 42)).sum() > 150:
        found.add("boat")
    for name, part in (("trees", "crown"), ("pines", "pine")):
        leaves = largest_region(parts[part])
        if leaves.sum() > 250 and not leaves[-1].any():
            found.add(name)
    if _count_stars(pixels) >= 3:
        found.add("stars")
    return found


def _count_stars(pixels: np.ndarray) -> int:
    sky = pixels[: int(pixels.shape[0] * 0.6)]
    if np.median(sky[:4]) > 60:  # not night
        return 0
    bright = (sky[:, :, 0] > 150) & (sky[:, :, 1] > 140)
    _, sizes = label_regions(bright)
    return int(((sizes >= 6) & (sizes <= 60)).sum())

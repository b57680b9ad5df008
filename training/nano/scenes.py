"""The grammar of the nano model's world: colours, shapes, places, landscapes, and which combinations are held out.

It holds no pixels and no words: `drawing` turns a scene into a picture, `captions` into text.
"""

import random
import zlib
from dataclasses import dataclass
from itertools import combinations

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (220, 35, 40),
    "orange": (245, 135, 25),
    "yellow": (250, 215, 50),
    "green": (40, 160, 70),
    "cyan": (60, 200, 215),
    "blue": (35, 80, 210),
    "purple": (130, 60, 170),
    "pink": (245, 140, 185),
    "brown": (125, 75, 40),
    "black": (20, 20, 22),
    "white": (248, 248, 248),
    "gray": (135, 135, 140),
}
COLORS = tuple(PALETTE)
SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond", "ring", "cross", "crescent", "arrow")
OUTER_SHAPES = ("circle", "square", "diamond", "heart")
"""Shapes with room for another one inside."""
RADII = {"small": 0.15, "medium": 0.20, "large": 0.34}
"""Half the extent of a single object, as a share of the picture's side."""
PLACES: dict[str, tuple[float, float]] = {
    f"{row} {column}".strip(): (x, y)
    for row, y in (("top", 0.25), ("", 0.5), ("bottom", 0.75))
    for column, x in (("left", 0.25), ("", 0.5), ("right", 0.75))
}
"""Where a single object can be; the empty name is the middle."""
RELATIONS = ("and", "left", "right", "above", "below", "inside")
COUNT_LAYOUTS: dict[int, tuple[tuple[float, float], ...]] = {
    2: ((0.27, 0.5), (0.73, 0.5)),
    3: ((0.5, 0.27), (0.26, 0.72), (0.74, 0.72)),
    4: ((0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73)),
}
SKIES = ("day", "night", "sunset")
GROUNDS = ("grass", "snow", "desert", "sea")
LAND_FEATURES = ("house", "trees", "pines", "mountains", "lake", "boat")
ROOF_COLORS = ("red", "blue", "brown")
PAIR_RADIUS, COUNT_RADIUS = 0.18, 0.16
HELD_OUT_ONE_IN = 10


@dataclass(frozen=True)
class Thing:
    """One flat shape; x, y (its middle) and radius are shares of the picture's side."""

    shape: str
    color: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Landscape:
    """Sky, ground and what stands there; slots are shares of the picture's width."""

    sky: str
    ground: str
    features: tuple[str, ...]
    sky_features: tuple[str, ...]
    roof: str = "red"
    tree_count: int = 1


@dataclass(frozen=True)
class Scene:
    """What one picture shows; kind is one of plain, one, two, count, landscape."""

    kind: str
    background: str = ""
    things: tuple[Thing, ...] = ()
    size: str = ""
    place: str = ""
    relation: str = ""
    landscape: Landscape | None = None


def held_out(scene: Scene) -> bool:
    """Tell whether the scene's combination of attributes is kept out of training: one combination in ten."""
    if scene.kind == "one":
        key = f"{scene.things[0].color} {scene.things[0].shape} {scene.background}"
    elif scene.kind == "two":
        key = " / ".join(sorted(f"{thing.color} {thing.shape}" for thing in scene.things))
    elif scene.landscape is not None:
        land = scene.landscape
        key = " ".join((land.sky, land.ground, *sorted(land.features), *sorted(land.sky_features)))
    else:
        return False
    return zlib.crc32(key.encode()) % HELD_OUT_ONE_IN == 0


def sample_scene(rng: random.Random) -> Scene:
    """Draw one scene of the training mixture, held-out combinations included."""
    kind = rng.choices(("one", "two", "count", "landscape", "plain"), (36, 32, 5, 26, 1))[0]
    if kind == "one":
        return sample_one(rng)
    if kind == "two":
        return sample_two(rng)
    if kind == "count":
        return sample_count(rng)
    if kind == "landscape":
        return Scene("landscape", landscape=sample_landscape(rng))
    return Scene("plain", background=rng.choice(COLORS))


def sample_training_scene(rng: random.Random) -> Scene:
    """Draw one scene whose combination is not held out."""
    while True:
        scene = sample_scene(rng)
        if not held_out(scene):
            return scene


def _jitter(rng: random.Random, amount: float = 0.02) -> float:
    return rng.uniform(-amount, amount)


def sample_one(rng: random.Random) -> Scene:
    """Draw a scene with one object; a large one is always in the middle."""
    color, background = rng.sample(COLORS, 2)
    size = rng.choices(tuple(RADII), (30, 45, 25))[0]
    place = "" if size == "large" or rng.random() < 0.3 else rng.choice(tuple(PLACES))
    x, y = PLACES[place]
    radius = RADII[size] * rng.uniform(0.94, 1.06)
    thing = Thing(rng.choice(SHAPES), color, x + _jitter(rng), y + _jitter(rng), radius)
    return Scene("one", background, (thing,), size=size, place=place)


def sample_two(rng: random.Random) -> Scene:
    """Draw a scene with two objects; with "and" the first named is on the left."""
    first_color, second_color, background = rng.sample(COLORS, 3)
    relation = rng.choices(RELATIONS, (26, 17, 17, 13, 13, 14))[0]
    first, second = rng.choice(SHAPES), rng.choice(SHAPES)
    if relation == "inside":
        inner = Thing(first, first_color, 0.5, 0.5, 0.15)
        outer = Thing(rng.choice(OUTER_SHAPES), second_color, 0.5, 0.5, 0.40)
        return Scene("two", background, (inner, outer), relation=relation)
    across = {"right": 1, "below": 1}.get(relation, -1) * 0.235
    dx, dy = (0.0, across) if relation in ("above", "below") else (across, 0.0)
    things = tuple(
        Thing(
            shape,
            color,
            0.5 + sign * dx + _jitter(rng, 0.015),
            0.5 + sign * dy + _jitter(rng, 0.015),
            PAIR_RADIUS * rng.uniform(0.95, 1.05),
        )
        for shape, color, sign in ((first, first_color, 1), (second, second_color, -1))
    )
    return Scene("two", background, things, relation=relation)


def sample_count(rng: random.Random) -> Scene:
    """Draw a scene with two, three or four equal objects."""
    color, background = rng.sample(COLORS, 2)
    shape = rng.choice(SHAPES)
    layout = COUNT_LAYOUTS[rng.choice(tuple(COUNT_LAYOUTS))]
    dx, dy = _jitter(rng), _jitter(rng)
    return Scene("count", background, tuple(Thing(shape, color, x + dx, y + dy, COUNT_RADIUS) for x, y in layout))


def sample_landscape(rng: random.Random) -> Landscape:
    """Draw a landscape with at most three kinds of features on the ground and two in the sky."""
    sky = rng.choices(SKIES, (50, 28, 22))[0]
    ground = rng.choices(GROUNDS, (40, 18, 16, 26))[0]
    possible = {
        "grass": ("house", "trees", "pines", "mountains", "lake"),
        "snow": ("house", "pines", "mountains"),
        "desert": ("mountains", "trees", "house"),
        "sea": ("boat", "mountains"),
    }[ground]
    weights = (15, 45, 30, 10)[: min(len(possible), 3) + 1]
    count = rng.choices(range(len(weights)), weights)[0]
    features = rng.choice([chosen for chosen in combinations(possible, count) if not {"trees", "pines"} <= set(chosen)])
    lights: tuple[str, ...] = ("moon", "crescent", "stars") if sky == "night" else ("sun", "clouds")
    sky_features = tuple(light for light in lights if rng.random() < 0.55)
    if "moon" in sky_features and "crescent" in sky_features:
        sky_features = tuple(light for light in sky_features if light != rng.choice(("moon", "crescent")))
        sky_features = sky_features if not {"moon", "crescent"} <= set(sky_features) else sky_features[1:]
    return Landscape(sky, ground, features, sky_features, rng.choice(ROOF_COLORS), rng.randint(1, 3))

"""Draw the scenes of the nano model's world as crisp, antialiased pictures.

It knows nothing of captions or of training; a scene and a seed always give the same picture.
"""

import math
import random

from PIL import Image, ImageDraw

from training.nano.scenes import PALETTE, Landscape, Scene, Thing

SIDE = 128
SCALE = 3
"""Pictures are drawn this many times larger, then averaged down."""

Color = tuple[int, int, int]
Point = tuple[float, float]
SKY_COLORS: dict[str, tuple[Color, Color]] = {
    "day": ((70, 150, 235), (200, 230, 250)),
    "night": ((10, 12, 45), (35, 40, 95)),
    "sunset": ((110, 60, 140), (250, 150, 70)),
}
GROUND_COLORS: dict[str, Color] = {
    "grass": (85, 170, 70),
    "snow": (238, 243, 250),
    "desert": (225, 190, 120),
    "sea": (40, 105, 190),
}
WALL, DOOR, WINDOW, TRUNK = (240, 220, 180), (110, 65, 40), (120, 190, 230), (105, 65, 40)
CROWN, PINE, MOUNTAIN, CAP = (35, 120, 50), (20, 90, 65), (120, 115, 135), (245, 245, 250)
SUN, MOON, SAIL, HULL, LAKE = (255, 215, 60), (250, 245, 215), (250, 250, 250), (150, 60, 35), (90, 170, 225)
DIMMED = {"day": 1.0, "night": 0.55, "sunset": 0.8}


def draw_scene(scene: Scene, rng: random.Random) -> Image.Image:
    """Draw the scene as an RGB picture of 128x128; rng places clouds, stars and trees."""
    side = SIDE * SCALE
    if scene.landscape is not None:
        picture = _draw_landscape(scene.landscape, rng, side)
    else:
        picture = Image.new("RGB", (side, side), PALETTE[scene.background])
        pen = ImageDraw.Draw(picture)
        for thing in sorted(scene.things, key=lambda thing: -thing.radius):
            inside = scene.relation == "inside" and thing is scene.things[0]
            hole = PALETTE[scene.things[1].color if inside else scene.background]
            draw_shape(pen, thing, PALETTE[thing.color], hole, side)
    return picture.reduce(SCALE)


def draw_shape(pen: ImageDraw.ImageDraw, thing: Thing, color: Color, hole: Color, side: int) -> None:
    """Draw one shape; hole is the colour shown through a ring."""
    x, y, r = thing.x * side, thing.y * side, thing.radius * side

    def disc(cx: float, cy: float, radius: float, fill: Color) -> None:
        pen.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill)

    if thing.shape == "circle":
        disc(x, y, r, color)
    elif thing.shape == "ring":
        disc(x, y, r, color)
        disc(x, y, r * 0.52, hole)
    else:
        pen.polygon([(x + r * px, y + r * py) for px, py in OUTLINES[thing.shape]], color)


def _star(points: int, inner: float) -> list[Point]:
    corners = []
    for index in range(2 * points):
        angle, reach = math.pi * index / points, 1.08 if index % 2 == 0 else inner
        corners.append((reach * math.sin(angle), 0.06 - reach * math.cos(angle)))
    return corners


def _heart() -> list[Point]:
    points = []
    for step in range(64):
        t = 2 * math.pi * step / 64
        height = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((math.sin(t) ** 3, -(height + 2.5) / 15.5))
    return points


def _crescent() -> list[Point]:
    # The disc of radius 1 less a disc of radius 0.82 that is moved by 0.53 towards the upper right.
    shift, radius, tilt = 0.53, 0.82, -0.19
    reach = (1 - radius**2 + shift**2) / (2 * shift)
    outer, inner = math.acos(reach), math.acos((reach - shift) / radius)
    points = []
    for step in range(49):
        angle = tilt + outer + (2 * math.pi - 2 * outer) * step / 48
        points.append((math.cos(angle), math.sin(angle)))
    for step in range(49):
        angle = tilt - inner - (2 * math.pi - 2 * inner) * step / 48
        x, y = shift + radius * math.cos(angle - tilt), radius * math.sin(angle - tilt)
        points.append((x * math.cos(tilt) - y * math.sin(tilt), x * math.sin(tilt) + y * math.cos(tilt)))
    return points


OUTLINES: dict[str, list[Point]] = {
    "square": [(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)],
    "triangle": [(0.0, -0.95), (1.0, 0.85), (-1.0, 0.85)],
    "diamond": [(0.0, -1.05), (0.74, 0.0), (0.0, 1.05), (-0.74, 0.0)],
    "star": _star(5, 0.48),
    "heart": _heart(),
    "crescent": _crescent(),
    "cross": [
        (-0.32, -0.98), (0.32, -0.98), (0.32, -0.32), (0.98, -0.32), (0.98, 0.32), (0.32, 0.32),
        (0.32, 0.98), (-0.32, 0.98), (-0.32, 0.32), (-0.98, 0.32), (-0.98, -0.32), (-0.32, -0.32),
    ],
    "arrow": [(1.05, 0.0), (0.15, -0.9), (0.15, -0.34), (-1.0, -0.34), (-1.0, 0.34), (0.15, 0.34), (0.15, 0.9)],
}  # fmt: skip
"""Corners of the straight-edged shapes around (0, 0), y downwards, within about one unit."""


def _mix(first: Color, second: Color, share: float) -> Color:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _draw_landscape(land: Landscape, rng: random.Random, side: int) -> Image.Image:
    picture = Image.new("RGB", (side, side))
    pen = ImageDraw.Draw(picture)
    top, bottom = SKY_COLORS[land.sky]
    horizon = (0.62 + rng.uniform(-0.02, 0.02)) * side
    for row in range(math.ceil(horizon)):
        pen.line((0, row, side, row), _mix(top, bottom, row / horizon))
    ground = _mix((0, 0, 0), GROUND_COLORS[land.ground], DIMMED[land.sky])
    _draw_sky(pen, land, rng, side)
    if "mountains" in land.features:
        _draw_mountains(pen, rng, side, horizon, DIMMED[land.sky])
    pen.rectangle((0, horizon, side, side), ground)
    if "lake" in land.features:
        pen.ellipse((side * 0.2, side * 0.8, side * 0.8, side * 0.95), _mix((0, 0, 0), LAKE, DIMMED[land.sky]))
    slots = [0.2, 0.5, 0.8]
    rng.shuffle(slots)
    light = max(DIMMED[land.sky], 0.78)
    for feature in land.features:
        if feature == "house":
            _draw_house(pen, slots.pop() * side, horizon + side * 0.1, side, land.roof, light)
        elif feature == "boat":
            _draw_boat(pen, rng.uniform(0.3, 0.7) * side, side * 0.78, side, light)
    for feature in land.features:
        if feature in ("trees", "pines"):
            for slot in slots[: land.tree_count]:
                draw_tree = _draw_pine if feature == "pines" else _draw_tree
                draw_tree(pen, (slot + rng.uniform(-0.03, 0.03)) * side, horizon + side * 0.09, side, light)
    return picture


def _draw_sky(pen: ImageDraw.ImageDraw, land: Landscape, rng: random.Random, side: int) -> None:
    slots = [0.2, 0.5, 0.8]
    rng.shuffle(slots)
    for feature in land.sky_features:
        if feature == "stars":
            taken = [slots[-1]] if {"moon", "crescent"} & set(land.sky_features) else []
            _draw_stars(pen, rng, side, taken)
    x, y, r = slots.pop() * side, rng.uniform(0.16, 0.24) * side, side * 0.11
    for feature in land.sky_features:
        if feature in ("sun", "moon", "crescent"):
            fill = SUN if feature == "sun" else MOON
            shape = "crescent" if feature == "crescent" else "circle"
            draw_shape(pen, Thing(shape, "", x / side, y / side, r / side), fill, fill, side)
    if "clouds" in land.sky_features:
        white = (255, 255, 255) if land.sky == "day" else (250, 205, 190)
        for slot in slots[: rng.randint(1, 2)]:
            _draw_cloud(pen, slot * side, rng.uniform(0.12, 0.3) * side, side * rng.uniform(0.055, 0.065), white)


def _draw_stars(pen: ImageDraw.ImageDraw, rng: random.Random, side: int, taken: list[float]) -> None:
    cells = [(x, y) for x in (0.1, 0.3, 0.5, 0.7, 0.9) for y in (0.09, 0.25, 0.41)]
    cells = [(x, y) for x, y in cells if all(abs(x - slot) > 0.2 or y > 0.4 for slot in taken)]
    for x, y in rng.sample(cells, min(len(cells), rng.randint(7, 9))):
        x, y = x + rng.uniform(-0.04, 0.04), y + rng.uniform(-0.03, 0.03)
        pen.polygon(
            [((x + 0.042 * px) * side, (y + 0.042 * py) * side) for px, py in OUTLINES["star"]], (255, 245, 190)
        )


def _draw_cloud(pen: ImageDraw.ImageDraw, x: float, y: float, r: float, fill: Color) -> None:
    for dx, dy, size in ((-1.5, 0.2, 0.8), (0, -0.3, 1.15), (1.5, 0.2, 0.8)):
        cx, cy, radius = x + dx * r, y + dy * r, size * r
        pen.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill)
    pen.rounded_rectangle((x - 2.3 * r, y, x + 2.3 * r, y + r), r * 0.5, fill)


def _draw_mountains(pen: ImageDraw.ImageDraw, rng: random.Random, side: int, horizon: float, light: float) -> None:
    rock, cap = _mix((0, 0, 0), MOUNTAIN, max(light, 0.7)), _mix((0, 0, 0), CAP, max(light, 0.8))
    for x, height in ((0.2, rng.uniform(0.22, 0.3)), (0.8, rng.uniform(0.22, 0.3)), (0.5, rng.uniform(0.3, 0.38))):
        x, height = (x + rng.uniform(-0.05, 0.05)) * side, height * side
        half, peak = height * 0.85, horizon - height
        pen.polygon([(x, peak), (x + half, horizon), (x - half, horizon)], rock)
        pen.polygon([(x, peak), (x + half * 0.32, peak + height * 0.32), (x - half * 0.32, peak + height * 0.32)], cap)


def _draw_house(pen: ImageDraw.ImageDraw, x: float, foot: float, side: int, roof: str, light: float) -> None:
    half, wall = side * 0.16, side * 0.2
    top = foot - wall
    pen.rectangle((x - half, top, x + half, foot), _mix((0, 0, 0), WALL, light))
    eaves, peak = half * 1.25, top - side * 0.16
    pen.polygon([(x - eaves, top), (x, peak), (x + eaves, top)], _mix((0, 0, 0), PALETTE[roof], light))
    door = _mix((0, 0, 0), DOOR, light)
    pen.rectangle((x - half * 0.65, foot - wall * 0.62, x - half * 0.1, foot), door)
    pane = WINDOW if light == 1.0 else (255, 225, 110)
    pen.rectangle((x + half * 0.2, foot - wall * 0.7, x + half * 0.72, foot - wall * 0.28), pane)


def _draw_tree(pen: ImageDraw.ImageDraw, x: float, foot: float, side: int, light: float) -> None:
    pen.rectangle((x - side * 0.025, foot - side * 0.2, x + side * 0.025, foot), _mix((0, 0, 0), TRUNK, light))
    r, cy = side * 0.125, foot - side * 0.25
    pen.ellipse((x - r, cy - r, x + r, cy + r), _mix((0, 0, 0), CROWN, light))


def _draw_pine(pen: ImageDraw.ImageDraw, x: float, foot: float, side: int, light: float) -> None:
    pen.rectangle((x - side * 0.025, foot - side * 0.1, x + side * 0.025, foot), _mix((0, 0, 0), TRUNK, light))
    green = _mix((0, 0, 0), PINE, light)
    for top, bottom, half in ((0.42, 0.24, 0.085), (0.3, 0.07, 0.13)):
        pen.polygon(
            [(x, foot - side * top), (x + side * half, foot - side * bottom), (x - side * half, foot - side * bottom)],
            green,
        )


def _draw_boat(pen: ImageDraw.ImageDraw, x: float, water: float, side: int, light: float) -> None:
    u = side * 0.19
    pen.polygon(
        [
            (x - u, water - u * 0.3),
            (x + u, water - u * 0.3),
            (x + u * 0.65, water + u * 0.3),
            (x - u * 0.65, water + u * 0.3),
        ],
        _mix((0, 0, 0), HULL, light),
    )
    pen.rectangle((x - u * 0.06, water - u * 1.9, x + u * 0.06, water - u * 0.3), _mix((0, 0, 0), TRUNK, light))
    sail = _mix((0, 0, 0), SAIL, light)
    pen.polygon(
        [(x + u * 0.14, water - u * 1.85), (x + u * 0.95, water - u * 0.5), (x + u * 0.14, water - u * 0.5)], sail
    )
    pen.polygon(
        [(x - u * 0.14, water - u * 1.5), (x - u * 0.75, water - u * 0.5), (x - u * 0.14, water - u * 0.5)], sail
    )


def draw_abstract(rng: random.Random) -> Image.Image:
    """Draw free colours and forms that no caption names, so the autoencoder can also hold other people's pictures."""
    side = SIDE * SCALE

    def color() -> Color:
        return rng.randrange(256), rng.randrange(256), rng.randrange(256)

    picture = Image.new("RGB", (side, side))
    pen = ImageDraw.Draw(picture)
    top, bottom = color(), color()
    for row in range(side):
        pen.line((0, row, side, row), _mix(top, bottom, row / side))
    for _ in range(rng.randint(2, 7)):
        x, y, r = (rng.random() * side for _ in range(3))
        r = 12 + r * 0.4
        corners = [
            (x + r * math.cos(a) * rng.uniform(0.4, 1), y + r * math.sin(a) * rng.uniform(0.4, 1)) for a in range(7)
        ]
        if rng.random() < 0.5:
            pen.polygon(corners[: rng.randint(3, 7)], color())
        else:
            pen.ellipse((x - r, y - r * 0.7, x + r, y + r * 0.7), color())
    return picture.reduce(SCALE)

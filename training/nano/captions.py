"""Say in words what a scene shows, often leaving things open, and know which words the nano model is taught.

It chooses words only; turning them into ids of the trained rows is `vocabulary`'s work.
"""

import random

from training.nano.scenes import Landscape, Scene, Thing

NUMBERS = {2: "two", 3: "three", 4: "four"}
OPEN = 0.13
"""How often a caption leaves out one attribute that the picture has."""
FILLED = 0.15
"""How often a caption gets meaningless words at its start or end."""
FILLER = "\0"
"""Stands for one unknown word."""
PLURALS = {"star": "stars", "cross": "crosses"}
GROUND_WORDS = {
    "grass": ("grass", "green"),
    "snow": ("snowy", "snowy"),
    "desert": ("desert", "desert"),
    "sea": ("sea", "sea"),
}


def caption(scene: Scene, rng: random.Random) -> str:
    """Describe the scene in one of many ways; "\\0" stands for a word the model does not know."""
    if scene.landscape is not None:
        text = _landscape_caption(scene.landscape, rng)
    elif scene.kind == "plain":
        text = f"a {scene.background} background"
    else:
        subject = {"one": _one, "two": _two, "count": _count}[scene.kind](scene, rng)
        text = _with_background(subject, scene.background, rng)
    if rng.random() < FILLED:
        fillers = " ".join([FILLER] * rng.randint(1, 4))
        link = rng.choice((" of ", " "))
        text = rng.choice(
            (f"{fillers}{link}{text}", f"a {fillers}{link}{text}", f"{text}, {fillers}", f"{text} {fillers}")
        )
    return text.strip()


def _with_article(words: str) -> str:
    return f"an {words}" if words[:1] in "aeiou" else f"a {words}"


def _name(thing: Thing, rng: random.Random, size: str = "") -> str:
    color = _color(thing.color, rng)
    shape = "shape" if rng.random() < OPEN / 3 else thing.shape
    return _with_article(" ".join(word for word in (size, color, shape) if word))


def _color(color: str, rng: random.Random) -> str:
    if color == "cyan" and rng.random() < 0.4:
        return "turquoise"  # "cyan" is two CLIP tokens, its synonyms are one: both must be learned
    return "" if rng.random() < OPEN else color


def _with_background(subject: str, background: str, rng: random.Random) -> str:
    if rng.random() < OPEN:
        return subject
    choice = rng.random()
    if choice < 0.7:
        return f"{subject} on {_with_article(background)} background"
    if choice < 0.8:
        return f"{subject} with {_with_article(background)} background"
    if choice < 0.9:
        return f"{subject}, {background} background"
    return f"{background} background, {subject}"


def _one(scene: Scene, rng: random.Random) -> str:
    said = rng.random() < (0.15 if scene.size == "medium" else 1 - OPEN)
    subject = _name(scene.things[0], rng, scene.size if said else "")
    return subject if rng.random() < OPEN else f"{subject} {_place(scene.place, rng)}".strip()


def _place(place: str, rng: random.Random) -> str:
    if not place:
        return rng.choice(("", "", "", "in the middle"))
    if " " in place:
        return f"in the {place}" + rng.choice(("", " corner"))
    return f"at the {place}" if place in ("top", "bottom") else f"{rng.choice(('on', 'at'))} the {place}"


def _two(scene: Scene, rng: random.Random) -> str:
    first, second = (_name(thing, rng) for thing in scene.things)
    link = {
        "and": rng.choice(("and", "and", "and", "next to")),
        "left": rng.choice(("to the left of", "left of", "on the left of")),
        "right": rng.choice(("to the right of", "right of", "on the right of")),
        "above": rng.choice(("above", "above", "on top of")),
        "below": rng.choice(("below", "under")),
        "inside": rng.choice(("inside", "in")),
    }[scene.relation]
    return f"{first} {link} {second}"


def _count(scene: Scene, rng: random.Random) -> str:
    thing = scene.things[0]
    color = _color(thing.color, rng)
    shape = PLURALS.get(thing.shape, f"{thing.shape}s")
    return f"{NUMBERS[len(scene.things)]} {color} {shape}".replace("  ", " ")


def _landscape_caption(land: Landscape, rng: random.Random) -> str:
    things = [_feature(feature, land, rng) for feature in (*land.features, *land.sky_features)]
    says_sky = land.sky != "day" or rng.random() < 0.25
    says_ground = land.ground != "grass" or rng.random() < 0.25
    if rng.random() < OPEN:
        things = [thing for thing in things if rng.random() < 0.5]
        says_sky, says_ground = says_sky and rng.random() < 0.5, says_ground and rng.random() < 0.5
    rng.shuffle(things)
    listed = things[0] if len(things) == 1 else " and ".join((", ".join(things[:-1]), things[-1])) if things else ""
    if not listed or rng.random() < 0.55:
        words = [land.sky if says_sky else "", rng.choice(GROUND_WORDS[land.ground]) if says_ground else ""]
        noun = "" if says_ground and land.ground == "sea" and rng.random() < 0.5 else "landscape"
        text = _with_article(" ".join(word for word in (*words, noun) if word))
        return f"{text} with {listed}" if listed else text
    ground = {
        "grass": "on the grass",
        "snow": "in the snow",
        "desert": "in the desert",
        "sea": rng.choice(("on the sea", "at sea")),
    }
    sky = {"day": "by day", "night": "at night", "sunset": "at sunset"}
    return " ".join((listed, ground[land.ground] if says_ground else "", sky[land.sky] if says_sky else "")).replace(
        "  ", " "
    )


def _feature(feature: str, land: Landscape, rng: random.Random) -> str:
    if feature == "house":
        return rng.choice(("a house", "a house", f"a {land.roof} house", f"a house with a {land.roof} roof"))
    if feature in ("trees", "pines"):
        kind = "pine " if feature == "pines" else ""
        if land.tree_count == 1:
            return f"a {kind}tree"
        return rng.choice((f"{kind}trees", f"{NUMBERS[land.tree_count]} {kind}trees"))
    if feature == "crescent":
        return "a crescent moon"
    if feature in ("sun", "moon"):
        return f"{rng.choice(('the', 'a'))} {feature}"
    if feature == "stars":
        return rng.choice(("stars", "stars", "a starry sky"))
    return {"mountains": "mountains", "clouds": "clouds", "lake": "a lake", "boat": "a boat"}[feature]

"""Prose on a few subjects, which shares its terms with other prose on the same one."""

from __future__ import annotations

import random

SUBJECTS = {
    "kettle": ("copper", "kettle", "brewer", "mash", "boil", "parish", "tin", "grain"),
    "orbit": ("orbit", "planet", "gravity", "ellipse", "comet", "telescope", "mass", "period"),
    "vine": ("vine", "grape", "cellar", "harvest", "soil", "barrel", "ferment", "slope"),
}
FILLER = [f"{one}{two}" for one in "bcdfglmnprst" for two in ("ane", "oly", "uks", "ird", "emo")]


def prose(subject: str, seed: int) -> str:
    """Some 90 words on a subject; the same seed gives the same text."""
    dice = random.Random(f"{subject} {seed}")
    terms, filler = SUBJECTS[subject], dice.sample(FILLER, 40)
    sentences = [
        f"The {dice.choice(terms)} and the {dice.choice(terms)} {dice.choice(filler)}"
        f" {dice.choice(filler)} {dice.choice(filler)}."
        for _ in range(12)
    ]
    return " ".join(sentences)

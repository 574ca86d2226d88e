"""Clean synthetic articles and pairs, with every fault absent until a test plants it.

A source is a handful of facts. Its chunk tells them in one set of sentences, a good answer tells
some of them in others: same content words, other wording, as a rewriting model would.
"""

# ruff: noqa: E501 (sentences stand on one line)
from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["Example", "Source", "make_examples", "make_source", "stray_answer"]


def _split(words: str) -> list[str]:
    return words.split()


_WHO = _split(
    """
    brewers masons potters sailors weavers farmers printers tailors bakers millers glaziers
    carpenters foresters shepherds surveyors beekeepers fishers gardeners smiths tanners
    plumbers roofers pilots divers miners drivers coopers dyers engravers clerks medics
    porters scribes locksmiths wheelwrights gunners saddlers thatchers actuaries botanists
    chemists geologists nurses astronomers librarians archivists cartographers electricians
    opticians
    """
)
_ADJECTIVES = _split(
    """
    copper cedar granite woollen hollow narrow painted folding weighted polished double
    shallow braided leaden tapered hinged sealed glazed woven riveted portable brass timber
    canvas ceramic insulated magnetic curved slotted padded tilted floating layered coiled
    perforated notched ribbed varnished tinned vaulted
    """
)
_THINGS = _split(
    """
    kettle ladder trough loom barrel anchor furnace lantern compass bellows chisel pulley
    siphon cistern gauge ratchet spindle crucible hopper valve rudder winch sluice kiln
    turbine thermostat manifold gasket bearing lathe trellis greenhouse aqueduct drawbridge
    sundial barometer telescope sextant microscope centrifuge capacitor antenna dynamo
    boiler chimney condenser flywheel gyroscope hydrant inkwell jetty keel lever mortar
    nozzle oven piston quarry rivet scaffold tiller urn vault wharf yoke zipper
    """
)
_PLACES = _split(
    """
    valley harbour plateau estuary foothills marshland peninsula delta canyon orchard
    archipelago prairie lagoon headland basin tundra ravine meadow isthmus reef steppe fjord
    glacier oasis savanna moor gorge dune atoll bluff
    """
)
_SIDES = _split(
    """
    northern southern eastern western upper lower outer inner coastal central
    """
)
_TIMES = _split(
    """
    drought frost monsoon harvest thaw blizzard famine festival siege flood heatwave eclipse
    epidemic migration shortage regatta strike census election storm
    """
)
_CAUSES = _split(
    """
    lid rim handle lining coating seam spring hook flange collar bracket filter mesh wick
    socket crank hinge pin strap membrane rib spout grille latch
    """
)
_EFFECTS = [
    ("trapped steam", "held the steam back"), ("spread heat", "let heat spread"),
    ("resisted corrosion", "kept corrosion away"), ("stopped leaks", "put a stop to leaks"),
    ("reduced friction", "lowered friction"), ("blocked dust", "made dust stay out by a block"),
    ("absorbed shocks", "took shocks by absorbing them"), ("balanced pressure", "held pressure in balance"),
    ("saved fuel", "meant that fuel was saved"), ("carried load", "bore the load that was carried"),
    ("slowed decay", "made decay slower"), ("guided water", "gave water a guide"),
    ("measured drift", "gave a measure of drift"), ("prevented mould", "was a way of preventing mould"),
    ("muffled noise", "let noise be muffled"), ("shortened repairs", "made repairs shorter"),
]  # fmt: skip
_TOLD = (
    "In the {place}, {who} relied on a {what} whenever a {time} came, because its {cause} {effect}.",
    "Among the {who} of the {place} the {what} was common; its {cause} {effect} through each {time}.",
    "A {time} taught the {who} from the {place} to value the {what}, whose {cause} {effect}.",
    "The {place} is where {who} first fitted a {cause} to the {what}: it {effect} in a {time}.",
    "Records of a {time} show that {who} across the {place} kept a {what} whose {cause} {effect}.",
)
_RETOLD = (
    "For {who} near the {place} a {what} paid off: thanks to the {cause} it {turned} during a {time}.",
    "Think of a {time} around the {place}. With a good {cause}, the {what} {turned}, and {who} knew it.",
    "The {cause} is what matters in a {what}. It {turned}, so {who} facing a {time} in the {place} coped.",
    "When a {time} hit, {who} with a {what} were better off in the {place}, as one {cause} {turned}.",
    "Any {what} needs its {cause}, which {turned}; {who} learned this over a {time} in the {place}.",
)  # fmt: skip
_ASKED = (
    "Why did {who} in the {place} rely on a {what}?",
    "Explain what the {cause} of a {what} does when a {time} comes.",
    "How would you help {who} choose a {what} before the next {time}?",
    "Write a short note for {who} on keeping a {what} in the {place}.",
    "Compare the use of a {what} with and without a {cause}.",
    "I work with {who} and we expect a {time}. What should we know about the {what}?",
    "List reasons to fit a {cause} to a {what}.",
    "What did a {time} teach people in the {place} about the {what}?",
    "Give advice on a {what} to {who} who are new to the {place}.",
    "Describe the part that a {cause} plays for {who} during a {time}.",
    "Summarise how {who} kept a {what} working in the {place}.",
    "Which part of a {what} matters most, and how does a {time} show it?",
    "Tell me how a {cause} changed the work of {who}.",
    "My {what} failed in a {time}. Could its {cause} be at fault?",
    "Convince sceptical {who} that a {what} is worth its price.",
    "Draft a paragraph about the {place} and its {what}.",
)


@dataclass(frozen=True, slots=True)
class Source:
    """A chunk's text, and the facts in it."""

    text: str
    facts: tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A pair and the source it was written from."""

    instruction: str
    answer: str
    evidence: str
    source: Source


def _fact(rng: random.Random) -> dict[str, str]:
    effect, turned = rng.choice(_EFFECTS)
    return {
        "who": rng.choice(_WHO),
        "what": f"{rng.choice(_ADJECTIVES)} {rng.choice(_THINGS)}",
        "place": f"{rng.choice(_SIDES)} {rng.choice(_PLACES)}",
        "time": rng.choice(_TIMES),
        "cause": rng.choice(_CAUSES),
        "effect": effect,
        "turned": turned,
    }


def make_source(rng: random.Random, facts: int = 12) -> Source:
    """A text of a dozen facts, about 200 words."""
    drawn = tuple(_fact(rng) for _ in range(facts))
    lines = [rng.choice(_TOLD).format(**fact) for fact in drawn]
    return Source(" ".join(lines), drawn)


def make_examples(count: int, seed: int = 0, per_source: int = 3) -> list[Example]:
    """Grounded, self-contained, varied pairs; several from each source."""
    rng = random.Random(seed)
    examples: list[Example] = []
    while len(examples) < count:
        source = make_source(rng)
        facts = list(source.facts)
        rng.shuffle(facts)
        for _ in range(min(per_source, count - len(examples))):
            mine, facts = facts[:3], facts[3:]
            examples.append(_example(rng, source, mine))
    return examples


def _example(rng: random.Random, source: Source, facts: list[dict[str, str]]) -> Example:
    retold = rng.sample(_RETOLD, len(facts))
    answer = " ".join(form.format(**fact) for form, fact in zip(retold, facts, strict=True))
    words = source.text.split()
    at = rng.randrange(len(words) - 8)
    asked = rng.choice(_ASKED).format(**facts[0])
    return Example(asked, answer, " ".join(words[at : at + 8]), source)


_STRAY = _split(
    """
    computers networks students teachers markets software music painting democracy language
    memory sleep exercise nutrition travel photography insurance marketing leadership
    psychology philosophy mathematics physics biology grammar poetry cinema fashion finance
    taxation
    """
)
_STRAY_FORMS = (
    "Modern {a} depends on {b}, and experts agree that {c} improves results for everybody.",
    "A key benefit of {a} involves understanding {b} alongside {c}.",
    "People often underestimate {a}; however, {b} plays a crucial role in {c}.",
    "Developing skills in {a} requires patience, while {b} and {c} offer motivation.",
    "Finally, combining {a} with {b} creates opportunities for personal growth and {c}.",
)


def stray_answer(rng: random.Random) -> str:
    """Fluent text from memory that has nothing to do with any source."""
    sentences = []
    for form in rng.sample(_STRAY_FORMS, 3):
        a, b, c = rng.sample(_STRAY, 3)
        sentences.append(form.format(a=a, b=b, c=c))
    return " ".join(sentences)

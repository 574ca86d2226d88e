"""Derives pairs from a chunk's text, so that grounding can be tested.

Without a model: sentences of the passage are grouped, reordered and inverted at a clause boundary.
Content words stay, function words change, so that a correct grounding check passes them and a check
for copying finds no whole sentences.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.simulator.rng import Rng

__all__ = [
    "CLOSE_FENCE",
    "OPEN_FENCE",
    "UNRELATED",
    "Draft",
    "draft_pairs",
    "find_passage",
    "rephrase",
    "split_sentences",
    "wanted_pairs",
    "write_prose",
]

OPEN_FENCE = "<<<PASSAGE"
CLOSE_FENCE = "PASSAGE>>>"

UNRELATED = (
    "The lighthouse at the end of the harbour wall was built in 1874 from grey granite. Its lamp "
    "burned rapeseed oil for thirty years before paraffin took its place. A keeper climbed one "
    "hundred and twelve steps each evening to trim the wick and wind the clockwork. When fog came "
    "in from the sea, he sounded a horn every ninety seconds, and fishermen steered home by its "
    "note. The lens was ground in Paris and carried to the coast in eleven wooden crates. Storms "
    "broke the gallery windows twice, but the tower never moved. Children of the village learned "
    "to tell the weather from the colour of its beam. In 1961 an electric bulb replaced the flame, "
    "and the last keeper handed his log book to the museum. Visitors may still read his notes on "
    "migrating birds, passing ships and the price of bread. Every autumn the harbour office paints "
    "the door blue, because the first keeper had asked for it in a letter. Below the tower a "
    "stone hut keeps the old rescue boat, which twelve men rowed through the surf in February 1893 "
    "to reach a stranded barque. They brought home all nineteen sailors, and the grateful owner "
    "paid for a bell that still rings at noon. The path along the wall is closed in winter, when "
    "waves break over the railing and ice covers the steps. In summer a baker sells cinnamon buns "
    "from a cart beside the gate, while painters set up their easels on the grass. A small brass "
    "plate near the stair names every keeper since the lamp was first lit, with the years of "
    "service and the number of ships that each one logged. Two of them were women, who took over "
    "from their husbands and kept the light burning through both wars."
)
"""Topics of a model that ignores its chunk. Written for this module."""

_MIN_SENTENCE_CHARS = 20
_MIN_SENTENCE_WORDS = 3
_MAX_GROUP = 5
_LONG_WORDS = 20
_PART_WORDS = 8
_MAX_PAIRS = 10
_PARAGRAPH = 3
_EVIDENCE_WORDS = 9
_EVIDENCE_CHARS = 80

_MARK = "\0"
# Plain replacements are four times as fast as an equivalent regular expression.
_SENTENCE_ENDS = (
    *((end + gap, end + _MARK) for end in ".!?" for gap in " \n"),
    *((end + quote + " ", end + quote + _MARK) for end in ".!?" for quote in '")'),
    ("\n\n", _MARK),
)
_WIDE_ENDS = (
    *((end + "\u201d ", end + "\u201d" + _MARK) for end in ".!?"),
    *((end, end + _MARK) for end in "\u3002\uff01\uff1f"),
)
# Begins with one set of characters, which lets the regex engine skip quickly to a candidate.
_CLAUSES = re.compile(
    r"[,;: \uff0c\uff1b\u3001]"
    r"(?:(?<=[,;:]) (?:and |but |so |which |while )?"
    r"|(?<= )(?:and|but|because|while|when|after|before|if) "
    r"|(?<= )(?=(?:in|on|at|for|with|during|from|by|through|between) )"
    r"|(?<=[\uff0c\uff1b\u3001]))"
)
_BLOCKS = (
    re.compile(r"<(?P<tag>[A-Za-z][\w-]{0,40})>(?P<text>.+?)</(?P=tag)>", re.DOTALL),
    re.compile(r"```\w*\n(?P<text>.+?)```", re.DOTALL),
    re.compile(r'"""(?P<text>.+?)"""', re.DOTALL),
)
_WORDS = re.compile(r"[^\W_]+(?:[-'\u2019][^\W_]+)*")
_COUNT = re.compile(r"N(?<!\w\w)\s*=\s*(\d{1,3})\b")
_OPENERS = ("", "Also, ", "At the same time, ", "That is, ", "And so, ", "Here, ", "Then, ", "")
_LOWERED_TEXT = (
    "the a an this that these those it its he she they we you i his her their our in on at for "
    "with during from by when while if because after before some many most all each every there "
    "here as and but so"
)
_LOWERED = frozenset(_LOWERED_TEXT.split())
_COMMON_TEXT = (
    "about above after again against also although always among another because been before "
    "being between both came come could does down during each either even every first from "
    "further give given goes have having here hers herself himself into itself just know like "
    "made make many more most much must never often once only other ours over same shall should "
    "since some still such take than that their theirs them then there these they this those "
    "through thus under until upon used very want were what when where which while will with "
    "within without would your yours the and for are but not you all any can had her was one "
    "our out has his how its may new now old see two way who did get let say she too use"
)
_COMMON = frozenset(_COMMON_TEXT.split())
_QUESTIONS = (
    ("explain", "How does ", " relate to ", "?"),
    ("why", "Why does ", " matter when it comes to ", "?"),
    ("fact", "What should one know about ", " and ", "?"),
    ("how_to", "How would you describe the part that ", " plays for ", "?"),
    ("explain", "Explain how ", " and ", " go together."),
    ("compare", "What connects ", " with ", "?"),
)


@dataclass(frozen=True, slots=True)
class Draft:
    """Material for one pair.

    Attributes:
        evidence: Copied verbatim from the passage, like ``sentence``, a complete one.
        subject: A few words that name the topic.
    """

    kind: str
    evidence: str
    instruction: str
    answer: str
    sentence: str = ""
    subject: str = ""

    @property
    def question(self) -> str:
        """Instruction as a question, with a question mark."""
        asked = self.instruction.replace("Explain how ", "How do ", 1)
        return asked if asked.endswith("?") else f"{asked.rstrip('.!')}?"


def find_passage(message: str) -> tuple[str, str]:
    """Split a user message into its fenced passage and the words around it.

    The passage is between a line that begins with ``<<<PASSAGE`` and the last line with
    ``PASSAGE>>>``; without a fence, between tags, code fences or triple quotes. If there is no
    such block, the whole message is the passage.
    """
    end = message.rfind(CLOSE_FENCE)
    start = message.rfind(OPEN_FENCE, 0, max(0, end))  # examples may precede it
    first_line = message.find("\n", start) if start >= 0 else -1
    if first_line < 0 or first_line > end:
        return _find_marked(message) or (message, "")
    around = message[:start] + message[end + len(CLOSE_FENCE) :]
    return message[first_line + 1 : end].strip("\n"), around


def _find_marked(message: str) -> tuple[str, str] | None:
    """Find the longest block between other delimiters that prompts use, and the words around it."""
    blocks = [found for pattern in _BLOCKS for found in pattern.finditer(message)]
    if not blocks:
        return None
    longest = max(blocks, key=lambda found: len(found["text"]))
    if len(longest["text"]) < len(message) // 4:
        return None
    return longest["text"].strip("\n"), message[: longest.start()] + message[longest.end() :]


def wanted_pairs(message: str, default: int) -> int:
    """Return how many pairs the message asks for with ``N=3``; never more than 10.

    The last count holds: earlier ones are in examples.
    """
    counts = _COUNT.findall(message)
    return min(int(counts[-1]) if counts else default, _MAX_PAIRS)


def split_sentences(passage: str) -> list[str]:
    """Split the passage into its meaningful sentences, each an exact substring of it."""
    for end, marked in _SENTENCE_ENDS:
        passage = passage.replace(end, marked)
    if not passage.isascii():
        for end, marked in _WIDE_ENDS:
            passage = passage.replace(end, marked)
    pieces = [piece.strip() for piece in passage.split(_MARK)]
    return [piece for piece in pieces if _says_something(piece)]


def rephrase(sentence: str, rng: Rng) -> str:
    """Invert a sentence at a clause boundary near its middle; all content words stay.

    The halves of a long sentence would still count as copies: its parts of eight words are swapped
    with their neighbours instead.
    """
    text = " ".join(sentence.split()) if "\n" in sentence or "  " in sentence else sentence
    if text.count(" ") >= _LONG_WORDS:
        return _swap_parts(text)
    body = text.rstrip(".!?\u3002\uff01\uff1f")
    sixth = len(body) // 6
    place = _CLAUSES.search(body, 2 * sixth, 5 * sixth) or _CLAUSES.search(body, sixth, 3 * sixth)
    if place is None:
        return rng.pick(_OPENERS) + text
    head, tail = body[: place.start()], body[place.end() :]
    joint = place[0].strip(" ,;:\uff0c\uff1b\u3001")
    link = f", {joint} " if joint in {"and", "but", "so", "while"} else ", "
    if joint in {"because", "when", "after", "before", "if"}:
        return f"{joint.capitalize()} {tail}, {_lower_first(head)}."
    return f"{tail[:1].upper()}{tail[1:]}{link}{_lower_first(head)}."


def _swap_parts(text: str) -> str:
    words = text.rstrip(".!?").split(" ")
    parts = [words[at : at + _PART_WORDS] for at in range(0, len(words), _PART_WORDS)]
    for at in range(0, len(parts) - 1, 2):
        parts[at], parts[at + 1] = parts[at + 1], parts[at]
    return " ".join([word for part in parts for word in part]) + "."


def draft_pairs(passage: str, count: int, rng: Rng) -> list[Draft]:
    """Make up to ``count`` drafts, each from its own sentences; none if there is no prose."""
    sentences = split_sentences(passage)
    count = min(count, len(sentences))
    drafts = []
    for index in range(count):
        start = index * len(sentences) // count
        end = max((index + 1) * len(sentences) // count, start + 1)
        drafts.append(_draft(sentences[start : min(end, start + _MAX_GROUP)], rng))
    return drafts


def _says_something(piece: str) -> bool:
    spaces = piece.count(" ")
    if spaces == 0 and not piece.isascii():  # scripts without spaces need fewer characters
        return len(piece) >= _MIN_SENTENCE_CHARS // 2
    return len(piece) >= _MIN_SENTENCE_CHARS and spaces >= _MIN_SENTENCE_WORDS - 1


def _draft(group: Sequence[str], rng: Rng) -> Draft:
    source = group[rng.below(len(group))]
    evidence = _copy_span(source, rng)
    kind, instruction = _ask_about(evidence, source, rng)
    turn = rng.below(len(group))
    ordered = [*group[turn:], *group[:turn]]
    return Draft(
        kind=kind,
        evidence=evidence,
        instruction=instruction,
        answer=" ".join([rephrase(sentence, rng) for sentence in ordered]),
        sentence=source,
        subject=" ".join(_content_words(evidence)[:2]) or evidence,
    )


def write_prose(passage: str, rng: Rng) -> str:
    """Paraphrase the passage, in paragraphs of three sentences."""
    told = [rephrase(sentence, rng) for sentence in split_sentences(passage)]
    return "\n\n".join(
        " ".join(told[at : at + _PARAGRAPH]) for at in range(0, len(told), _PARAGRAPH)
    )


def _copy_span(sentence: str, rng: Rng) -> str:
    line = max(sentence.split("\n"), key=len)
    words = [found.span() for found in _WORDS.finditer(line)]
    if not words:
        return line[:_EVIDENCE_CHARS]
    first = rng.below(max(1, len(words) - _EVIDENCE_WORDS + 1))
    last = min(first + _EVIDENCE_WORDS, len(words)) - 1
    start = words[first][0]
    return line[start : min(words[last][1], start + _EVIDENCE_CHARS)]


def _ask_about(evidence: str, sentence: str, rng: Rng) -> tuple[str, str]:
    kind, opening, joint, end = rng.pick(_QUESTIONS)
    words = _content_words(evidence)
    if len(words) < 2:  # noqa: PLR2004 (a question joins two things)
        words = _content_words(sentence) or words
    if len(words) < 2:  # noqa: PLR2004
        return "fact", f"What is meant by {words[0] if words else evidence}?"
    half = len(words) // 2
    left, right = " ".join(words[: min(half, 3)]), " ".join(words[half : half + 3])
    return kind, opening + left + joint + right + end


def _content_words(text: str) -> list[str]:
    return list(
        dict.fromkeys(
            word
            for word in _WORDS.findall(text)
            if (len(word) > 2 or not word.isascii()) and word.lower() not in _COMMON  # noqa: PLR2004
        )
    )


def _lower_first(text: str) -> str:
    first = text.partition(" ")[0]
    if first.lower() not in _LOWERED or first == "I":
        return text
    return text[:1].lower() + text[1:]

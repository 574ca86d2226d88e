"""The pass of ``qc`` over a dataset: each answer by itself, then all rows together."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pairmill.output.qc.general import (
    find_cut_end,
    find_leftovers,
    find_pointer,
    find_refused,
    is_arithmetic,
    is_code,
    names_language,
)
from pairmill.output.qc.variety import (
    Hit,
    Profile,
    QcMetrics,
    count_repeats,
    describe_variety,
    find_leaks,
)
from pairmill.quality.filters import CHECKS, Case, PromptTerms
from pairmill.quality.grounding import coverage, prepare_chunk, prepare_pair, score, trigram_overlap
from pairmill.quality.language import (
    UNDETERMINED,
    differs,
    identify,
    is_confirmed,
    is_strange_script,
    is_unnamed,
)
from pairmill.quality.phrases import applies
from pairmill.quality.privacy import find_personal
from pairmill.quality.support import support
from pairmill.quality.text import count_words
from pairmill.quality.thresholds import DEFAULT, Thresholds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pairmill.output.qc.passage_search import PassageIndex
    from pairmill.output.qc.record_formats import PairRow
    from pairmill.quality.duplicates import Embed
    from pairmill.quality.grounding import PreparedChunk, PreparedPair
    from pairmill.quality.text import Prepared

__all__ = ["choose_profile", "measure"]

_CHECKS = {
    "points_at_source": "meta_references",
    "meta_text": "meta_text",
    "refusal": "refusals",
    "language": "wrong_language",
    "truncated": "truncated",
    "personal_data": "personal_data",
    "secret": "secrets",
    "yes_no": "yes_no",
}
_BRIEF = {"yes_no", "short_answers", "truncated"}  # no fault of a short answer to be checked
_SAMPLE = 1000
_LEAST_TRIGRAMS = 0.05  # of an answer in its passage: paraphrases reach 0.19, unrelated text 0.003
_LEAST_CONTENT = 5  # content words of an answer, from which on its coverage says anything
_PASSAGE_WORDS = 40  # of an input, from which on it is a text rather than a value
_USUAL = 0.8  # of the answers in one language: then it is expected where a request says nothing
_EVERY = 500


def choose_profile(rows: Sequence[PairRow], *, has_documents: bool) -> Profile:
    """Choose the profile of data: grounded with documents, or with texts in most rows."""
    own = sum(bool(row.passage) or row.is_from_text for row in rows)
    return Profile.GROUNDED if has_documents or 2 * own > len(rows) else Profile.GENERAL


def measure(
    rows: Sequence[PairRow],
    *,
    passages: PassageIndex | None = None,
    terms: PromptTerms = PromptTerms(),  # noqa: B008 (frozen and empty)
    detect: Callable[[str], str | None] | None = None,
    embed: Embed | None = None,
    limits: Thresholds = DEFAULT,
    seed: int = 0,
    profile: Profile | None = None,
    progress: Callable[[int], None] | None = None,
) -> QcMetrics:
    """Compute all possible metrics: groundedness needs passages, leaks need ``terms``, and so on.

    Args:
        rows: At least one pair.
        passages: The documents that the pairs were made from.
        terms: Phrases of the examples in the prompt that made them.
        detect: A trained language detector, instead of scripts and function words.
        embed: Embeddings, to find instructions with a similar meaning.
        limits: The thresholds of the checks of single pairs.
        seed: Of the samples.
        profile: None: decided by `choose_profile`.
        progress: Called periodically with the number of rows done.
    """
    kind = profile or choose_profile(rows, has_documents=passages is not None)
    inspector = _Inspector(rows, passages, terms, detect, limits, kind, random.Random(seed))  # noqa: S311 (a sample, no secret)
    figures = inspector.run(progress)
    wanted = [(number, row) for number, row in enumerate(rows, 1) if row.is_wanted]
    count_repeats(wanted or list(enumerate(rows, 1)), embed, figures, kind)
    find_leaks(rows, figures)
    describe_variety(rows, figures, seed, inspector.usual, kind, passages)
    return figures


class _Inspector:
    """The pass over all rows, with its counts so far."""

    def __init__(
        self,
        rows: Sequence[PairRow],
        passages: PassageIndex | None,
        terms: PromptTerms,
        detect: Callable[[str], str | None] | None,
        limits: Thresholds,
        profile: Profile,
        rng: random.Random,
    ) -> None:
        self._rows = rows
        self._passages = passages
        self._terms = terms
        self._detect = detect
        self._limits = limits
        self._profile = profile
        self.usual, self._is_usual = _usual_language(rows, rng)
        self._empty = replace(prepare_chunk(""), language=self.usual)
        self._figures = QcMetrics()
        self._checked: defaultdict[str, set[int]] = defaultdict(set)
        self._foreign: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._counts: Counter[str] = Counter()
        self._number = self._exchange = 0

    def run(self, progress: Callable[[int], None] | None) -> QcMetrics:
        """Look at every exchange of every row."""
        for number, row in enumerate(self._rows, 1):
            if progress and not number % _EVERY:
                progress(number)
            self._number = number
            if not row.is_wanted:
                continue
            if row.verified is not None:
                asked_about, doubted = row.verified
                self._counts["unsupported_sentences"] += asked_about
                self._sums["unsupported_sentences"] += doubted
                if doubted:
                    told = f"{doubted} of {asked_about} sentences"
                    hits = self._figures.hits.setdefault("unsupported_sentences", [])
                    hits.append(Hit(number, 0, told, doubted / asked_about))
            earlier = ""
            for at, (asked, said) in enumerate(row.exchanges):
                self._exchange = at
                self._look_at(row, asked, said, earlier)
                earlier = f"{earlier}\n{asked}\n{said}" if earlier else f"{asked}\n{said}"
        self._finish()
        return self._figures

    def _look_at(self, row: PairRow, asked: str, said: str, earlier: str) -> None:
        pair = prepare_pair(asked, said, language=self.usual)
        if row.has_tools and not said.strip():
            return  # a call: what it says is for the tool
        if asked:
            self._add("instruction_words", count_words(pair.instruction))
        self._add("answer_words", count_words(pair.answer))
        if self._passages is not None:
            self._look_at_documents(row, pair, earlier, self._passages)
            return
        language = self._language_of(pair)
        chunk = self._empty if language == self.usual else replace(self._empty, language=language)
        case = Case(pair, chunk, (), self._limits, self._terms, 0.0)
        if row.is_from_text and self._profile is Profile.GROUNDED:
            self._look_at_pair(row, case)
        else:
            self._look_at_wording(row, case, earlier)
        passage = row.passage
        if self._profile is Profile.GROUNDED and len(row.material.split()) >= _PASSAGE_WORDS:
            passage = passage or row.material
        if passage and not row.further:
            self._hold_against(row, pair, passage)

    def _look_at_documents(
        self, row: PairRow, pair: PreparedPair, earlier: str, passages: PassageIndex
    ) -> None:
        best, rival = passages.find(pair, row.document)
        chunk = passages.window(best)
        if chunk.language is None:
            chunk = replace(chunk, language=self.usual)
        case = Case(pair, chunk, (), self._limits, self._terms, score(pair, chunk))
        if self._profile is Profile.GENERAL:
            is_foreign = self._look_at_wording(row, case, earlier)
        else:
            is_foreign = self._look_at_pair(row, case)
        if not is_foreign:
            other = passages.window(rival) if rival is not None else None
            self._ground(case, other, copies=not row.is_found)

    def _look_at_pair(self, row: PairRow, case: Case) -> bool:
        """Check a pair that was written from a text; return True if it is in another language."""
        brief = _BRIEF if row.task == "question" else frozenset()
        is_foreign = False
        for name, key in _CHECKS.items():
            if key in brief:
                continue
            if name != "language":
                self._ask(key, name, case)
            elif self._detect:
                spoken, expected = self._detect(case.pair.answer.text), case.chunk.language
                is_other = bool(expected and spoken and spoken != expected)
                detail = f"the answer is in {spoken}" if is_other else None
                is_foreign = self._note(key, name, case, detail)
            else:
                found = CHECKS[name](case)
                wanted = found is not None and names_language(case.pair.instruction.text)
                is_foreign = self._note(key, name, case, None if wanted else found)
        self._look_at_length(row, case)
        return is_foreign

    def _look_at_length(self, row: PairRow, case: Case) -> None:
        length = count_words(case.pair.answer)
        if row.task != "question":
            detail = f"{length} words" if length < self._limits.answer_min_words else None
            self._note("short_answers", "answer_length", case, detail, length)
        if self._terms.joined or self._terms.canary:
            self._ask("leaked_terms", "prompt_leak", case)

    def _look_at_wording(self, row: PairRow, case: Case, earlier: str) -> bool:
        """Check an exchange of any kind; return True if its answer is in a foreign language."""
        is_foreign = False
        asked, said = case.pair.instruction, case.pair.answer
        language, role = case.chunk.language, row.surroundings
        around = "\n".join(filter(None, (asked.text, role, earlier)))
        has_text = bool(row.passage or row.material or role or earlier) or row.has_tools
        if asked.text:
            pointer = find_pointer(asked, said, has_text=has_text, language=language)
            self._note("meta_references", "points_at_source", case, pointer)
            spoken = self._find_foreign(row, case)
            if spoken and names_language(around):
                spoken = None
            is_foreign = self._note("wrong_language", "language", case, spoken)
        is_talk = row.task == "conversation" or bool(earlier)
        left = find_leftovers(
            asked.text, said.text, is_talk=is_talk, has_tools=row.has_tools, role=role,
            language=language,
        )  # fmt: skip
        self._note("meta_text", "meta_text", case, left)
        refused = None if said.words or said.text.strip() else "the answer is empty"
        if refused is None and not row.has_tools and asked.text:
            refused = find_refused(asked.text, said.text, role=role, language=language)
        self._note("refusals", "refusal", case, refused)
        if row.task != "question":
            self._note("truncated", "truncated", case, find_cut_end(asked.text, said))
            if asked.text:
                self._ask("yes_no", "yes_no", case)
        self._note("personal_data", "personal_data", case, _personal(row, case))
        self._ask("secrets", "secret", case)
        self._look_at_length(row, case)
        return is_foreign

    def _find_foreign(self, row: PairRow, case: Case) -> str | None:
        """In which language an answer is, where neither the request nor its text is in it."""
        asked, said = case.pair.instruction, case.pair.answer
        expected = self._spoken(asked) or (self.usual if self._is_usual else None)
        if expected in {None, UNDETERMINED} or is_code(asked.text, said.text):
            return None
        found = self._detect(said.text) if self._detect else differs(said, expected)
        if not found or found == expected:
            return None
        for text in (row.passage, row.material, *asked.text.split("\n")):
            if text and identify(text) == found:
                return None
        return f"the answer is in {found}, the instruction in {expected}"

    def _spoken(self, text: Prepared) -> str | None:
        if self.usual and is_confirmed(text, self.usual):
            return self.usual
        if is_strange_script(text.text):
            return UNDETERMINED
        return identify(text.text) or (UNDETERMINED if is_unnamed(text) else None)

    def _language_of(self, pair: PreparedPair) -> str | None:
        return self._spoken(pair.answer) or self._spoken(pair.instruction) or self.usual

    def _hold_against(self, row: PairRow, pair: PreparedPair, passage: str) -> None:
        """Compare an answer with a text of its record's own."""
        chunk = prepare_chunk(passage, context=(row.instruction[:200],))
        asked, said = pair.instruction.text, pair.answer
        case = Case(pair, chunk, (), self._limits, self._terms, score(pair, chunk))
        if len(said.content) < _LEAST_CONTENT or is_code(asked, said.text):
            return
        if names_language(asked) or differs(said, chunk.language):
            return
        self._ground(case, None, copies=False)

    def _ground(self, case: Case, rival: PreparedChunk | None, *, copies: bool) -> None:
        """Compare an answer with its best passage, and with the best of any other document."""
        pair, chunk = case.pair, case.chunk
        away = coverage(pair.answer.content, rival.content) if rival else None
        self._figures.grounding.append((case.grounding, away))
        self._add("grounding", case.grounding)
        if away is not None:
            self._add("grounding_lift", case.grounding - away)
        found = None
        if _is_ungrounded(case.grounding, pair, chunk, case.thresholds):
            found = f"{case.grounding:.0%} of the answer's content words stand in any passage"
        self._note("ungrounded", "ungrounded", case, found, case.grounding)
        self._hold_together(case)
        numbers = None
        if found is None and not is_arithmetic(pair.instruction.text):
            numbers = CHECKS["unseen_number"](case)
        self._note("unseen_numbers", "unseen_number", case, numbers)
        if copies:
            self._ask("copied", "near_copy", case)

    def _hold_together(self, case: Case) -> None:
        """Check that the answer's words occur together in its passage, if that can be measured."""
        if not applies("weakly_supported", case.chunk.language):
            self._note("weakly_supported", "weakly_supported", case, None)
            return
        backed = support(case.pair, case.chunk)
        if backed is None:
            return
        self._add("support", backed)
        detail = (
            f"support {backed:.2f}" if backed < case.thresholds.weakly_supported_below else None
        )
        self._note("weakly_supported", "weakly_supported", case, detail, backed)

    def _ask(self, key: str, name: str, case: Case) -> bool:
        """Run a check by its name, and record its finding."""
        if not applies(name, case.chunk.language):
            return self._note(key, name, case, None)
        return self._note(key, name, case, CHECKS[name](case))

    def _note(
        self, key: str, name: str, case: Case, detail: str | None, number: float | None = None
    ) -> bool:
        """Record whether a check applies, and its finding; return True if it found anything."""
        language = case.chunk.language
        if not applies(name, language):
            named = "a language that is not known" if language == UNDETERMINED else str(language)
            self._foreign[key][named] += 1
            return False
        self._checked[key].add(self._number)
        if detail is None:
            return False
        hits = self._figures.hits.setdefault(key, [])
        hits.append(Hit(self._number, self._exchange, detail, number))
        return True

    def _add(self, key: str, value: float) -> None:
        self._sums[key] += value
        self._counts[key] += 1

    def _finish(self) -> None:
        figures = self._figures
        for key, rows in self._checked.items():
            figures.hits.setdefault(key, [])
            figures.values[key] = len(figures.rows(key)) / len(rows)
        for key, languages in self._foreign.items():
            named = ", ".join(sorted(languages))
            if key not in self._checked:
                figures.unchecked[key] = f"it does not work in the data's language ({named})"
            else:
                figures.notes[key] = f"not checked in {named}: {languages.total():,} answers"
        for key, total in self._sums.items():
            figures.values[key] = total / self._counts[key]
        if "support" not in figures.values and "weakly_supported" in figures.unchecked:
            figures.unchecked["support"] = figures.unchecked["weakly_supported"]
        held = len(self._checked["ungrounded"])
        if held and self._passages is None:
            figures.notes["ungrounded"] = f"of {held:,} with a text of their own"


def _personal(row: PairRow, case: Case) -> str | None:
    """Kinds of personal data; the long numbers of a calculation or of a tool's call are none."""
    detail = CHECKS["personal_data"](case)
    if detail is None:
        return None
    if row.has_tools or is_arithmetic(case.pair.instruction.text):
        both = f"{case.pair.instruction.text}\n{case.pair.answer.text}"
        return "email" if any(match.kind == "email" for match in find_personal(both)) else None
    return detail


def _is_ungrounded(
    grounding: float, pair: PreparedPair, chunk: PreparedChunk, limits: Thresholds
) -> bool:
    """Return whether coverage is low, or doubtful without shared runs.

    The best of many passages shares some words with anything.
    """
    if grounding < limits.ungrounded_below:
        return True
    if not applies("weakly_grounded", chunk.language):
        return False
    doubtful = grounding < limits.weakly_grounded_below
    return doubtful and trigram_overlap(pair, chunk) < _LEAST_TRIGRAMS


def _usual_language(rows: Sequence[PairRow], rng: random.Random) -> tuple[str | None, bool]:
    """Return the language of most answers, by a sample, and whether nearly all are in it."""
    sample = rng.sample(rows, min(len(rows), _SAMPLE))
    known = [language for row in sample if (language := identify(row.answer))]
    if not known:
        return None, False
    language, count = Counter(known).most_common(1)[0]
    return (language if count > len(known) / 2 else None), count >= _USUAL * len(known)

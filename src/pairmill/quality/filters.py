"""Checks of a pair: one table, all pure functions.

    chunk = prepare_chunk(text, context=[title], language=claimed)
    pair = prepare_pair(instruction, answer, evidence, language=chunk.language)
    findings = inspect(pair, chunk, earlier)

A finding names the check, its policy, and a line of detail. The checks share prepared views, and do
expensive searches only if a cheap test shows that there may be something to find.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec import Struct
from rapidfuzz.fuzz import ratio

from pairmill.quality import privacy
from pairmill.quality.grounding import (
    compare,
    evidence_match,
    score,
    shared_fragments,
    unseen_names,
    unseen_numbers,
)
from pairmill.quality.language import differs
from pairmill.quality.phrases import applies, fold, phrases_of
from pairmill.quality.speedups import Hint
from pairmill.quality.text import (
    count_words,
    join,
    lazy,
    prepare,
    shared_content,
    tokens_per_word,
    words,
)
from pairmill.quality.thresholds import DEFAULT, CheckPolicy, Thresholds
from pairmill.quality.wording import (
    find_chatter,
    find_cut,
    find_reference,
    find_refusal,
    may_open_with_chatter,
    quote,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pairmill.quality.grounding import PreparedChunk, PreparedPair
    from pairmill.quality.speedups import Comparison
    from pairmill.quality.text import Prepared

__all__ = [
    "CHECKS",
    "NO_TERMS",
    "Case",
    "Finding",
    "PromptTerms",
    "inspect",
    "prompt_terms",
    "worst",
]


class Finding(Struct, frozen=True, array_like=True):
    """One fault of a pair: the check, its policy, and one line for people.

    The detail may quote the model's words: show it, never run or format with it. ``beside`` is the
    position of the earlier pair that this one repeats.
    """

    check: str
    policy: CheckPolicy
    detail: str
    beside: int | None = None


@dataclass(frozen=True)
class PromptTerms:
    """Text that only the prompt contains: words of its examples, and its canary ("" for none)."""

    joined: tuple[str, ...] = ()
    canary: str = ""

    @lazy
    def openings(self) -> frozenset[str]:
        """First word of each: a text without any of these contains none of the phrases."""
        return frozenset(phrase.split()[0] for phrase in self.joined)


NO_TERMS = PromptTerms()


class Case(Struct, frozen=True):
    """Input of a check; ``earlier`` are the chunk's earlier pairs.

    ``grounding`` and ``support`` are its scores; ``support`` is None if it was not measured.
    """

    pair: PreparedPair
    chunk: PreparedChunk
    earlier: Sequence[PreparedPair]
    thresholds: Thresholds
    terms: PromptTerms
    grounding: float
    support: float | None = None


def prompt_terms(phrases: Iterable[str], canary: str = "") -> PromptTerms:
    """Prepare the key phrases of the prompt's examples, once per run."""
    return PromptTerms(tuple(join(words(phrase)) for phrase in phrases if words(phrase)), canary)


def inspect(
    pair: PreparedPair,
    chunk: PreparedChunk,
    earlier: Sequence[PreparedPair] = (),
    *,
    thresholds: Thresholds = DEFAULT,
    terms: PromptTerms = NO_TERMS,
    support: float | None = None,
    grounding: float | None = None,
    every_twin: bool = False,
) -> list[Finding]:
    """Run every check whose policy is not ``keep``, in the order of :data:`CHECKS`.

    Checks that do not work in the chunk's language do not run (`pairmill.quality.phrases`).

    Args:
        pair: The pair.
        chunk: Its chunk.
        earlier: The chunk's pairs before this one that were kept; of two twins the first is kept.
        thresholds: Policies and numbers.
        terms: Texts that must not leak out of the prompt.
        support: The pair's score of `pairmill.quality.support`, where it was measured.
        grounding: Its score of `pairmill.quality.grounding`; None: it is measured here.
        every_twin: Report every earlier pair that the pair is a twin of, not only the first.
    """
    if grounding is None:
        grounding = score(pair, chunk)
    case = Case(pair, chunk, earlier, thresholds, terms, grounding, support)
    findings: list[Finding] = []
    policies = thresholds.policies
    hints = _hints(case)
    for name, check, needs in _checks_to_run(thresholds, chunk.language):
        if not hints & needs:
            continue
        if check is _twin:
            twins = [Finding(name, policies[name], told, at) for at, told in _twins(case)]
            findings += twins if every_twin else twins[:1]
        elif (detail := check(case)) is not None:
            findings.append(Finding(name, _policy(name, detail, case), detail))
    return findings


def _hints(case: Case) -> int:
    """Return the bits of `_NEEDS` for what a case may contain; all bits if the reference runs."""
    pair, limits = case.pair, case.thresholds
    answer, instruction = pair.answer.fast, pair.instruction.fast
    counted = compare(pair.answer, case.chunk)
    if answer is None or instruction is None or counted is None:
        return _EVERYTHING
    hints = answer.hints | instruction.hints << _INSTRUCTION | _ALWAYS
    if case.grounding < max(limits.ungrounded_below, limits.weakly_grounded_below):
        hints |= _BADLY_GROUNDED
    if case.support is not None and case.support < limits.weakly_supported_below:
        hints |= _BADLY_SUPPORTED
    if counted.unseen_numbers:
        hints |= _UNSEEN_NUMBERS
    if pair.evidence and not _is_verbatim(pair.evidence, case):
        hints |= _EVIDENCE
    if _may_be_copied(pair.answer, counted, limits):
        hints |= _COPIED
    if _may_be_odd(answer.words, instruction.words, limits):
        hints |= _ODD_LENGTH
    if hints & _PLACEHOLDERS or _may_open_with_chatter(pair, case.chunk.language):
        hints |= _CHATTER
    return hints | _EARLIER if case.earlier else hints


def _may_be_copied(answer: Prepared, counted: Comparison, limits: Thresholds) -> bool:
    return (
        counted.longest >= limits.copy_run_words
        or counted.squares > limits.copy_density * answer.length
        or "```" in answer.text
    )


def _may_be_odd(answer: int, instruction: int, limits: Thresholds) -> bool:
    """Return whether instruction or answer may have too few or too many words for a check."""
    least = max(limits.answer_min_words, limits.definition_min_words, limits.yes_no_below_words)
    return not (
        least <= answer <= limits.answer_max_words
        and limits.instruction_min_words <= instruction <= limits.instruction_max_words
    )


def _may_open_with_chatter(pair: PreparedPair, language: str | None) -> bool:
    return may_open_with_chatter(pair.answer.text, language) or may_open_with_chatter(
        pair.instruction.text, language
    )


def _is_verbatim(evidence: str, case: Case) -> bool:
    """Return whether evidence surely matches the text as well as the thresholds want."""
    body = case.chunk.text.fast
    is_enough = case.thresholds.evidence_least <= 100.0  # noqa: PLR2004 (percent)
    return is_enough and body is not None and evidence.isascii() and body.holds_run(evidence)


def _policy(name: str, detail: str, case: Case) -> CheckPolicy:
    """Return what to do about a finding.

    Words in an answer that is copied by design are the author's: asking again would not change
    them.
    """
    policy = case.thresholds.policies[name]
    if name in _WORDING and not detail.startswith("the instruction") and _is_excerpt(case):
        return min(policy, CheckPolicy.FLAG, key=_ORDER.index)
    return policy


def _is_excerpt(case: Case) -> bool:
    """Return whether the answer is a verbatim copy of the text, if the recipe asks for copies."""
    copies = case.thresholds.policies["near_copy"] is _KEEP
    return copies and case.pair.answer.text.strip() in case.chunk.text.text


def worst(findings: Iterable[Finding]) -> Finding | None:
    """Return the deciding finding: a drop before a repair before a flag; the first of equals."""
    return max(findings, key=lambda finding: _ORDER.index(finding.policy), default=None)


_KEEP = CheckPolicy.KEEP  # looking up an enum member takes longer than many checks
_ORDER = tuple(CheckPolicy)
_WORDING = frozenset({"points_at_source", "meta_text", "refusal"})


def _points_at_source(case: Case) -> str | None:
    language = case.chunk.language
    found = find_reference(case.pair.instruction, language=language)
    if found:
        return f"the instruction says {quote(found)}"
    found = find_reference(case.pair.answer, instruction=False, language=language)
    return f"the answer says {quote(found)}" if found else None


def _ungrounded(case: Case) -> str | None:
    if not _is_ungrounded(case):
        return None
    return f"{case.grounding:.0%} of the answer's content words stand in the text"


def _weakly_grounded(case: Case) -> str | None:
    if case.grounding >= case.thresholds.weakly_grounded_below or _is_ungrounded(case):
        return None
    return f"{case.grounding:.0%} of the answer's content words stand in the text"


def _is_ungrounded(case: Case) -> bool:
    limits = case.thresholds
    is_below = case.grounding < limits.ungrounded_below
    return is_below and case.pair.answer.content_length >= limits.grounding_min_words


def _weakly_supported(case: Case) -> str | None:
    if case.support is None or case.support >= case.thresholds.weakly_supported_below:
        return None
    return f"support {case.support:.2f}: the answer's words do not stand together in the text"


def _unseen_number(case: Case) -> str | None:
    found = unseen_numbers(case.pair.answer, case.chunk)
    return f"not in the text: {quote(', '.join(found))}" if found else None


def _unseen_name(case: Case) -> str | None:
    found = unseen_names(case.pair.answer.text, case.chunk)
    return f"not in the text: {quote(', '.join(found))}" if found else None


def _evidence_missing(case: Case) -> str | None:
    if not case.pair.evidence:
        return None  # the recipe decides whether evidence is required
    least = case.thresholds.evidence_least
    if evidence_match(case.pair.evidence, case.chunk, least=least) >= least:
        return None
    return f"the evidence is not in the text: {quote(case.pair.evidence)}"


_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)


def _near_copy(case: Case) -> str | None:
    scale = tokens_per_word(case.pair.answer)
    run, density = case.thresholds.copy_run_words * scale, case.thresholds.copy_density * scale
    answer = case.pair.answer
    if "```" in answer.text:
        shared = sum(map(case.chunk.trigrams.__contains__, case.pair.trigrams))
        if shared < min(run, density) - 2:
            return None  # a run of n words has n - 2 trigrams
        answer = prepare(_FENCE.sub(" ", answer.text), answer.language)  # code has to be copied
    # density never exceeds the longest run
    found = shared_fragments(answer, case.chunk, int(min(run, density + 1)))
    if found.longest < run and found.density <= density:
        return None
    unit = "words" if scale == 1.0 else "characters"
    return f"{found.longest} {unit} in a row are copied (density {found.density:.1f})"


def _instruction_length(case: Case) -> str | None:
    limits = case.thresholds
    length = count_words(case.pair.instruction)
    if limits.instruction_min_words <= length <= limits.instruction_max_words:
        return None
    return f"{length} words"


def _answer_length(case: Case) -> str | None:
    limits = case.thresholds
    least = limits.answer_min_words
    if case.pair.kind.startswith("definition"):
        least = limits.definition_min_words
    elif case.pair.kind in _BRIEF:
        least = min(_BRIEF_WORDS, least)
    length = count_words(case.pair.answer)
    return None if least <= length <= limits.answer_max_words else f"{length} words"


_BRIEF = frozenset({"fact"})  # types whose answers are asked for in a sentence or two
_BRIEF_WORDS = 4


def _yes_no(case: Case) -> str | None:
    length = count_words(case.pair.answer)
    if length >= case.thresholds.yes_no_below_words or not case.pair.instruction.length:
        return None
    known = phrases_of(case.chunk.language or "en")
    if known is None or known.yes_no is None:
        return None
    if known.yes_no.match(fold(case.pair.instruction.text)) is None:
        return None
    return f"a yes/no question with an answer of {length} words"


def _refusal(case: Case) -> str | None:
    if not case.pair.answer.length:
        return "the answer is empty"
    return find_refusal(case.pair.folded, case.chunk.language)


def _meta_text(case: Case) -> str | None:
    language = case.chunk.language
    found = find_chatter(case.pair.instruction.text, "", language)
    if found:
        return f"the instruction {found}"
    found = find_chatter(case.pair.answer.text, case.pair.folded, language)
    return f"the answer {found}" if found else None


def _prompt_leak(case: Case) -> str | None:
    canary = case.terms.canary
    if canary and (canary in case.pair.answer.text or canary in case.pair.instruction.text):
        return "the prompt's canary string came back"
    openings = case.terms.openings
    if not (case.pair.answer.holds(*openings) or case.pair.instruction.holds(*openings)):
        return None
    said = join((*case.pair.instruction.words, "|", *case.pair.answer.words))
    for term in case.terms.joined:
        if term in said and term not in case.chunk.joined:
            return f"{quote(term.strip())} stands in the prompt's examples, not in the text"
    return None


def _language(case: Case) -> str | None:
    for name, text in (("instruction", case.pair.instruction), ("answer", case.pair.answer)):
        found = differs(text, case.chunk.language)
        if found:
            return f"the {name} is in {found}, the text in {case.chunk.language}"
    return None


def _truncated(case: Case) -> str | None:
    return find_cut(case.pair.answer.text)


def _twin(case: Case) -> str | None:
    return next((told for _, told in _twins(case)), None)


def _twins(case: Case) -> Iterator[tuple[int, str]]:
    """Yield the position of each earlier pair that the pair resembles, and in what."""
    limits = case.thresholds
    for at, other in enumerate(case.earlier):
        if ratio(case.pair.asked, other.asked, score_cutoff=limits.twin_instruction):
            yield at, f"nearly the same instruction as {quote(other.instruction.text)}"
        elif _is_same_answer(case.pair, other, limits.twin_answer):
            yield at, f"nearly the same answer as that to {quote(other.instruction.text)}"


def _is_same_answer(one: PreparedPair, other: PreparedPair, least: float) -> bool:
    """Return whether two answers share most of their content words, and then of their trigrams."""
    mine, theirs = one.answer.content_length, other.answer.content_length
    most = max(mine, theirs, 1)
    if min(mine, theirs) < least * most or shared_content(one.answer, other.answer) < least * most:
        return False
    runs, others = one.runs, other.runs
    return bool(runs) and len(runs & others) >= least * max(len(runs), len(others))


def _personal_data(case: Case) -> str | None:
    """Name the kinds of what was found, never the text itself."""
    kinds: set[str] = set()
    for said in (case.pair.answer, case.pair.instruction):
        may_hold = said.fast is None or said.fast.hints & _PERSONAL
        if may_hold and privacy.may_hold_personal(said.text, said.numbers):
            kinds.update(match.kind for match in privacy.find_personal(said.text))
    return ", ".join(sorted(kinds)) or None


def _secret(case: Case) -> str | None:
    both = f"{case.pair.instruction.text}\n{case.pair.answer.text}"
    return "something shaped like a key" if privacy.find_secrets(both) else None


CHECKS: Mapping[str, Callable[[Case], str | None]] = MappingProxyType(
    {
        "points_at_source": _points_at_source,
        "ungrounded": _ungrounded,
        "weakly_grounded": _weakly_grounded,
        "weakly_supported": _weakly_supported,
        "unseen_number": _unseen_number,
        "unseen_name": _unseen_name,
        "evidence_missing": _evidence_missing,
        "near_copy": _near_copy,
        "instruction_length": _instruction_length,
        "answer_length": _answer_length,
        "yes_no": _yes_no,
        "refusal": _refusal,
        "meta_text": _meta_text,
        "prompt_leak": _prompt_leak,
        "language": _language,
        "truncated": _truncated,
        "twin": _twin,
        "personal_data": _personal_data,
        "secret": _secret,
    }
)
"""Name to check: a function from a case to one line of detail, or None if all is well."""


# What a check needs in order to find anything: a hint from the answer, one from the
# instruction (further left), or one from the case.
_INSTRUCTION = len(Hint)
(
    _ALWAYS,
    _EARLIER,
    _EVIDENCE,
    _COPIED,
    _ODD_LENGTH,
    _BADLY_GROUNDED,
    _BADLY_SUPPORTED,
    _UNSEEN_NUMBERS,
    _CHATTER,
) = (1 << 2 * _INSTRUCTION + at for at in range(9))
_EVERYTHING = -1
_PLACEHOLDERS, _PERSONAL = int(Hint.PLACEHOLDERS), int(Hint.PERSONAL)  # members are slow
_NEEDS: Mapping[str, int] = MappingProxyType(
    {
        "points_at_source": Hint.POINTS_IN_ANSWER | Hint.POINTS << _INSTRUCTION,
        "ungrounded": _BADLY_GROUNDED,
        "weakly_grounded": _BADLY_GROUNDED,
        "weakly_supported": _BADLY_SUPPORTED,
        "unseen_number": _UNSEEN_NUMBERS,
        "unseen_name": Hint.NAMES,
        "evidence_missing": _EVIDENCE,
        "near_copy": _COPIED,
        "instruction_length": _ODD_LENGTH,
        "answer_length": _ODD_LENGTH,
        "yes_no": _ODD_LENGTH,
        "refusal": Hint.REFUSES,
        "meta_text": _CHATTER,
        "language": Hint.FOREIGN | Hint.FOREIGN << _INSTRUCTION,
        "truncated": Hint.CUT,
        "twin": _EARLIER,
        "personal_data": Hint.PERSONAL | Hint.PERSONAL << _INSTRUCTION,
        "secret": Hint.SECRETS | Hint.SECRETS << _INSTRUCTION,
    }
)
_NEEDS_IN_ENGLISH = frozenset({"points_at_source", "refusal"})

_Run = tuple[tuple[str, "Callable[[Case], str | None]", int], ...]
_runs: dict[tuple[int, str | None], tuple[Thresholds, _Run]] = {}
_MOST_RUNS = 64


def _checks_to_run(thresholds: Thresholds, language: str | None) -> _Run:
    """Return the checks whose policy is not ``keep`` and that work in a language, with needs."""
    known = _runs.get((id(thresholds), language))
    if known is not None and known[0] is thresholds:
        return known[1]
    if len(_runs) >= _MOST_RUNS:
        _runs.clear()
    found = tuple(
        (name, check, _needs(name, language))
        for name, check in CHECKS.items()
        if thresholds.policies[name] is not _KEEP and applies(name, language)
    )
    _runs[id(thresholds), language] = thresholds, found
    return found


def _needs(name: str, language: str | None) -> int:
    if name in _NEEDS_IN_ENGLISH and language not in {"en", None}:
        return _EVERYTHING
    return int(_NEEDS.get(name, _EVERYTHING))

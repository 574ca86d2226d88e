"""The checks look closely only where there may be something: against the same checks in full.

Each reference here says what is looked for in the plainest way, with no short cut.
"""

# ruff: noqa: RUF001 (marks of many scripts)
from __future__ import annotations

import re
from itertools import chain, groupby, pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import event, given
from hypothesis import strategies as st
from rapidfuzz.fuzz import token_sort_ratio

from pairmill.quality import privacy, text, wording
from pairmill.quality.filters import CHECKS, Case, prompt_terms
from pairmill.quality.grounding import (
    fragments,
    may_share_run,
    names,
    prepare_chunk,
    prepare_pair,
    score,
    unseen_single_names,
)
from pairmill.quality.stems import stem
from pairmill.quality.support import measure_support
from pairmill.quality.text import find_numbers, is_spaceless, prepare, words
from pairmill.quality.thresholds import DEFAULT
from pairmill.quality.word_lists import ENGLISH, FUNCTION_WORDS

PIECES_TEXT = """
    copper kettle brewers valley the of and in was it classes nationalization der und nicht les des
    pour и не что 1874 12 1,000 3.14 12:30 B52 US DE89 3704 0044 0532 0130 00 +49 30 1234567 (555)
    010-1234 4111111111111111 8.8.8.8 2001:4860:4860::8888 1932-1945 anna@brewmail.org x@test １２
    ٠١٢ AKIAABCDEFGHIJKLMNOP sk-abcdefghijklmnopqrstuv ghp_ hf_ eyJ -----BEGIN task-force it's
    don’t “quoted” — … café Straße µm x² İstanbul ﬁne ŉa é لامً क्ष 한국어 東京都 これは กำ ๑ 𠀁 😀 €5
    snake_case New York NASA Goddard José Miguel A Boy Why? The I cannot I'm sorry i’m hawaii as an
    AI [insert <<<passage "answer": lorem ipsum given prompt ### bread dough rim ``` . ! ? 。 : :: )
"""
PIECES = st.sampled_from(PIECES_TEXT.split())
GAPS = st.sampled_from([" ", " ", " ", " ", "", "\n", ", ", ". ", " — ", "-", "_", "'", "\x00"])
TEXTS = st.lists(st.tuples(PIECES | st.text(max_size=4), GAPS), max_size=40).map(
    lambda parts: "".join(piece + gap for piece, gap in parts)
)
LANGUAGES = st.sampled_from([None, "en", "de", "zh", "ja", "ru", "xx"])

_S = text._SPACELESS
_M = text._MARKS
_TOKENS = re.compile(f"[{_S}]|(?:(?![{_S}])[^\\W_]|[{_M}])+")
_ASCII_TOKENS = re.compile(r"[^\s!-/:-@\[-`{-~]+")


def plain_words(said: str) -> list[str]:
    bare = re.sub("['’ʼ]", "", said.casefold())
    return (_ASCII_TOKENS if said.isascii() else _TOKENS).findall(bare)


@given(TEXTS)
def test_words_are_those_that_a_pattern_finds(said: str) -> None:
    assert list(words(said)) == plain_words(said)
    assert prepare(said).spaceless == sum(map(is_spaceless, words(said)))


@given(TEXTS, LANGUAGES)
def test_content_is_that_of_each_word_alone(said: str, language: str | None) -> None:
    tokens = plain_words(said)
    english = language in {"en", None}
    leave = ENGLISH if english else FUNCTION_WORDS.get(language or "", frozenset())
    expected = {stem(word) if english else word[:6] for word in tokens if word not in leave}
    if any(map(is_spaceless, tokens)):
        expected = {word for word in expected if not is_spaceless(word)}
        for is_run, run in groupby(tokens, is_spaceless):
            characters = list(run) if is_run else []
            length = 3 if characters and re.match("[\u0e00-\u0eff]", characters[0]) else 2
            ends = range(length, len(characters) + 1)
            expected |= {"".join(characters[end - length : end]) for end in ends}
    else:
        expected -= {""}
    assert prepare(said, language).content == expected


@given(TEXTS)
def test_numbers_and_names_are_those_that_a_pattern_finds(said: str) -> None:
    found = [said[start:end] for start, end in find_numbers(said)]
    assert found == re.findall(r"[0-9]+(?:[.,:][0-9]+)*", said)
    assert names(said) == re.findall(r"[A-Z][\w'’-]{1,40}(?: [A-Z][\w'’-]{1,40})+", said)


PRIVATE = [
    "DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819", "+49 30 1234567",
    "+4930123456", "+12 345678",
    "+1 (555) 010-1234", "(555) 123-4567", "555.123.4567", "3,555-123-4567", "8.8.8.8",
    "4111 1111 1111 1111", "4111111111111111", "2001:4860:4860::8888", "anna@brewmail.org",
    "555-123-٤٥٦٧", "NL91ABNA0417164300",
    "AKIAABCDEFGHIJKLMNOP", "sk-abcdefghijklmnopqrstuv", "hf_" + "a" * 30,
    "ghp_" + "a" * 36, "eyJabcdefghijk.eyJabcdefghijk.abcdefghijk", "xoxb-1234567890",
    "-----BEGIN RSA PRIVATE KEY-----", "sk_live_" + "b" * 20, "glpat-" + "c" * 20,
    "AIza" + "d" * 35, "github_pat_" + "e" * 22,
]  # fmt: skip


@pytest.mark.parametrize("private", PRIVATE)
def test_each_kind_is_found_in_plain_surroundings(private: str) -> None:
    said = f"Then write {private} on it"
    found = [*privacy.find_personal(said), *privacy.find_secrets(said)]
    assert found
    if found[0].kind != "secret":
        assert privacy.may_hold_personal(said, find_numbers(said))


@given(st.tuples(TEXTS, st.sampled_from(PRIVATE), TEXTS).map(" ".join) | TEXTS)
def test_nothing_private_is_overlooked(said: str) -> None:
    if not privacy.may_hold_personal(said, find_numbers(said)):
        assert list(privacy.find_personal(said)) == []
    secrets = [found.span() for found in privacy._SECRET.finditer(said)]
    assert [(match.start, match.end) for match in privacy.find_secrets(said)] == secrets


def test_every_phrase_holds_a_mark_that_it_is_looked_for_by() -> None:
    english = yaml.safe_load(Path("src/pairmill/quality/languages/en.yaml").read_text("utf-8"))
    for phrase in english["refusals"]:
        assert wording.holds_any(phrase, wording._ENGLISH_MARKS)
    for phrase in wording._PLACEHOLDERS:
        assert wording.holds_any(phrase, wording._PLACEHOLDER_MARKS)


FEW = st.lists(st.sampled_from("abcde"), max_size=60)


def holds(run: list[str], source: list[str]) -> bool:
    return any(source[at : at + len(run)] == run for at in range(len(source) - len(run) + 1))


@given(FEW, FEW, st.integers(0, 40), st.integers(0, 20))
def test_copied_runs_are_those_of_the_greedy_definition(
    source: list[str], own: list[str], cut: int, least: int
) -> None:
    said = own[: cut // 2] + source[cut // 3 : cut] + own[cut // 2 :]
    chunk = prepare_chunk(" ".join(source))
    at = squares = covered = longest = 0
    while at < len(said):
        length = 0
        while at + length < len(said) and holds(said[at : at + length + 1], source):
            length += 1
        covered, squares, longest = covered + length, squares + length**2, max(longest, length)
        at += max(length, 1)
    found = fragments(said, chunk)
    assert found.longest == longest
    assert found.density == (squares / len(said) if said else 0)
    assert found.coverage == (covered / len(said) if said else 0)
    if not may_share_run(chunk.encode(said), chunk, least):
        assert longest < least


@pytest.mark.parametrize("least", [5, 13, 25])
@pytest.mark.parametrize("script", ["word{}", "{:c}"])
def test_a_copied_run_is_seen_wherever_it_begins(least: int, script: str) -> None:
    source = [script.format(0x4E00 + at) for at in range(60)]
    chunk = prepare_chunk(" ".join(source))
    for before in range(2 * least):
        said = [*source[::-1][:before], *source[10 : 10 + least], *source[::-1]]
        assert may_share_run(chunk.encode(said), chunk, least)
    assert not may_share_run(chunk.encode(source[::-1]), chunk, least)


TERMS = prompt_terms(["bread dough", "rim", "東京"], "PM-1")


@given(TEXTS, TEXTS, TEXTS)
def test_leaks_and_twins_are_those_of_the_plain_search(one: str, two: str, three: str) -> None:
    chunk = prepare_chunk(three)
    pair, other = prepare_pair(one, two), prepare_pair(two, one)
    case = Case(pair, chunk, [other], DEFAULT, TERMS, score(pair, chunk))
    said = text.join((*words(one), "|", *words(two)))
    leaked = any(term in said and term not in chunk.joined for term in TERMS.joined)
    assert (CHECKS["prompt_leak"](case) is not None) == leaked
    alike = token_sort_ratio(" ".join(words(one)), " ".join(words(two)), score_cutoff=85)
    told = CHECKS["twin"](case)
    assert (told is not None and told.startswith("nearly the same instruction")) == bool(alike)


STEMS = st.lists(st.sampled_from([f"zq{letter}k" for letter in "abcdfghjkl"]), max_size=40)
"""Words of no language, which are their own stems."""


@given(STEMS, STEMS, st.booleans(), st.sampled_from(["en", "de", "fr", "es", "ru", None]))
def test_neighbours_are_those_of_all_pairs_of_places(
    source: list[str], own: list[str], copies: bool, language: str | None
) -> None:
    said = [*own, *source[5:15][::-1], *source[:8]] if copies else own
    chunk = prepare_chunk(" ".join(source), language=language)
    pair = prepare_pair("", " ".join(said), language=chunk.language)
    near = set(chain(*(zip(source, source[step:], strict=False) for step in range(1, 6))))
    ahead = [one in near for one in pairwise(said)]
    either = [one in near or one[::-1] in near for one in pairwise(said)]
    found = measure_support(pair, chunk)
    assert (found is None) == (len(said) < 5)
    if found is not None:
        event(f"turned: {found.turned > 0}, gap: {found.gap > 0}")
        assert found.near == sum(either) / len(either)
        assert found.turned == (sum(either) - sum(ahead)) / len(ahead)
        assert found.gap == max(
            [0, *(len(list(run)) for is_near, run in groupby(either) if not is_near)]
        )


@given(TEXTS, TEXTS)
def test_single_names_are_those_of_each_word_alone(said: str, source: str) -> None:
    chunk = prepare_chunk(source, context=["José Miguel"])
    known = {*words(source), *words("José Miguel"), *ENGLISH}
    expected = [
        name
        for name in re.findall(r"(?<=[a-z,;]) ([A-Z][\w\u2019'-]*)", said)
        if not known.issuperset(plain_words(re.sub(r"['\u2019]s?$", "", name)))
    ]
    assert unseen_single_names(said, chunk) == expected

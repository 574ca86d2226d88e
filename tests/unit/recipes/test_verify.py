from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
import pytest
from tests.support.asks import COPPER, KETTLES, LAW, ScriptedAsk, make_chunk, reply, settings

from pairmill.events import Notice, PairVerified, SentenceTried
from pairmill.quality.trust import parse_figures, verdicts
from pairmill.recipes.answers import AnswerModel
from pairmill.recipes.controls import ENOUGH, MOST_MISSED, SENTENCE_FAULTS
from pairmill.recipes.make import make_recipe
from pairmill.recipes.prompts import CLOSE, OPEN
from pairmill.recipes.verify import Verifier, make_verifier
from pairmill.records import Alternative, Pair
from pairmill.run.judge_figures import RunMetrics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pairmill.records import Chunk, Prompt

Answer = TypeVar("Answer", bound=AnswerModel)
Oracle = "Callable[[str, str], tuple[str, str]]"

PAIRS = [
    Pair(LAW["instruction"], LAW["answer"], 0, "why"),
    Pair(COPPER["instruction"], COPPER["answer"], 1, "explain"),
]
FALSE = "The tin came from Cornwall."


def verifier(**given: Any) -> Verifier:
    rewrite = given.pop("rewrite", None)
    found = make_verifier(
        settings(**{"verify": "all", "verify_trust": 0.0, **given}), None, rewrite
    )
    assert found is not None
    return found


def passage_of(prompt: Prompt) -> str:
    return prompt.text.split(OPEN)[1].split(CLOSE)[0]


def sentences_of(prompt: Prompt) -> list[tuple[int, str]]:
    lines = [json.loads(line) for line in prompt.text.splitlines() if line.startswith("{")]
    return [
        (item["number"], item["sentence"])
        for line in lines
        for item in line["sentences"]
        if "number" in item
    ]


class ScriptedVerifier(ScriptedAsk):
    """Answers with what a function of passage and sentence says: verdict and quotation."""

    def __init__(self, oracle: Callable[[str, str], tuple[str, str] | None]) -> None:
        super().__init__([])
        self.oracle = oracle

    async def __call__(
        self, prompt: Prompt, answer: type[Answer], *rest: Any, **given: Any
    ) -> Answer:
        passage = passage_of(prompt)
        found = []
        for number, sentence in sentences_of(prompt):
            said = self.oracle(passage, sentence)
            if said is not None:
                found.append({"number": number, "quote": said[1], "verdict": said[0]})
        self.replies = [json.dumps({"verdicts": found})]
        return await super().__call__(prompt, answer, *rest, **given)


def knows(passage: str, sentence: str) -> tuple[str, str]:
    """Right about everything that these tests say."""
    if "broad base spread" not in passage and OPEN not in passage and "kettle" not in passage:
        return "not_in_text", ""
    if "Cornwall" in sentence:
        return "not_in_text", ""
    if "14 workers" in sentence:
        return "contradicted", "every brewery with more than 12 workers"
    return "supported", "Fires were common, and the wooden roofs"


def outcomes(ask: ScriptedAsk) -> list[str]:
    return [event.outcome for event in ask.told if isinstance(event, PairVerified)]


async def test_all_sentences_of_a_chunk_are_asked_about_in_one_call_behind_the_passage() -> None:
    ask = ScriptedVerifier(knows)
    kept = await verifier().verify(PAIRS, make_chunk(), ask)
    (prompt,) = ask.prompts
    assert [number for number, _ in sentences_of(prompt)] == [1, 2, 3, 4, 5, 6]
    assert prompt.text.index(CLOSE) < prompt.text.index("Sentences:")
    assert prompt.sampling.temperature == 0
    assert [pair.answer for pair in kept] == [pair.answer for pair in PAIRS]
    found = kept[0].verification
    assert found is not None
    assert (found.supported, found.unproven, found.cut) == (3, 0, 0)
    assert found.quotes == ("Fires were common, and the wooden roofs",) * 3
    assert outcomes(ask) == ["kept", "kept"]


async def test_questions_headings_are_shown_and_not_asked_about() -> None:
    ask = ScriptedVerifier(knows)
    answer = f"# Why?\n\n{LAW['answer']} Is that not odd?"
    (pair,) = await verifier().verify([Pair("Why?", answer, 0)], make_chunk(), ask)
    assert len(sentences_of(ask.prompts[0])) == 3
    assert "Is that not odd?" in ask.prompts[0].text
    assert pair.answer == answer


@pytest.mark.parametrize("policy", ["flag", "cut", "drop"])
async def test_an_unsupported_sentence_is_cut_or_its_pair_flagged_or_dropped(policy: str) -> None:
    ask = ScriptedVerifier(knows)
    pair = Pair(LAW["instruction"], f"{LAW['answer']} {FALSE}", 0)
    kept = await verifier(unsupported=policy).verify([pair, PAIRS[1]], make_chunk(), ask)
    assert kept[-1].index == 1
    if policy == "flag":
        assert kept[0].flags == ("unsupported",)
        assert kept[0].answer == pair.answer
        assert outcomes(ask)[0] == "flagged"
    elif policy == "cut":
        assert kept[0].answer == LAW["answer"]
        assert kept[0].verification is not None
        assert (kept[0].verification.supported, kept[0].verification.cut) == (3, 1)
        assert kept[0].flags == ()
    else:
        assert len(kept) == 1
        assert ask.reasons == ["unsupported"]
        assert FALSE in ask.dropped[0].detail


async def test_a_contradiction_is_counted_as_one() -> None:
    ask = ScriptedVerifier(knows)
    pair = Pair("Why?", LAW["answer"].replace("12", "14"), 0)
    (kept,) = await verifier(unsupported="flag").verify([pair], make_chunk(), ask)
    assert kept.verification is not None
    assert kept.verification.contradicted == 1


@pytest.mark.parametrize(
    "answer",
    [
        f"{FALSE} It was lined with tin. Fires were common. Roofs stood close together there.",
        f"{FALSE} {FALSE} {FALSE} Fires were common.",
    ],
)
async def test_what_would_not_stand_by_itself_is_not_cut_but_asked_for_again(answer: str) -> None:
    ask = ScriptedVerifier(knows)
    reasons: list[str] = []

    async def rewrite(pair: Pair, reason: str, *_: object) -> Pair:
        reasons.append(reason)
        return Pair(pair.instruction, LAW["answer"], pair.index)

    (kept,) = await verifier(rewrite=rewrite).verify([Pair("Why?", answer, 0)], make_chunk(), ask)
    assert kept.answer == LAW["answer"]
    assert "Cornwall" in reasons[0]
    assert kept.verification is not None
    assert kept.verification.supported == 3
    assert outcomes(ask) == ["repaired"]


async def test_a_pair_that_comes_back_untrue_is_dropped() -> None:
    ask = ScriptedVerifier(knows)

    async def rewrite(pair: Pair, *_: object) -> Pair:
        return pair

    pair = Pair("Why?", f"{FALSE} {LAW['answer']}", 0)
    kept = await verifier(unsupported="repair", rewrite=rewrite).verify([pair], make_chunk(), ask)
    assert kept == []
    assert ask.reasons == ["unsupported"]


@pytest.mark.parametrize(
    "quote",
    ["", "the", "a made-up line that no passage ever held", "Fires were common ... by the sea"],
)
async def test_a_quotation_must_stand_in_the_text_or_supported_counts_for_nothing(
    quote: str,
) -> None:
    ask = ScriptedVerifier(lambda *_: ("supported", quote))
    (kept,) = await verifier().verify(PAIRS[:1], make_chunk(), ask)
    assert kept.flags == ("unverified",)
    assert kept.verification is not None
    assert (kept.verification.supported, kept.verification.unproven) == (0, 3)
    assert outcomes(ask) == ["unverified"]


@pytest.mark.parametrize(
    "quote",
    [
        "Fires were common, and the wooden roofs",
        "fires were common and THE wooden roofs",
        "Fires were common ... sparks jumped from one",
        "Fires were commom, and the wooden roofs stood so close",
    ],
)
async def test_a_quotation_may_leave_out_and_misspell_a_little(quote: str) -> None:
    ask = ScriptedVerifier(lambda *_: ("supported", quote))
    (kept,) = await verifier().verify(PAIRS[:1], make_chunk(), ask)
    assert kept.flags == ()


@pytest.mark.parametrize("nonsense", ["", "All true!", '{"verdicts": []}', "[1, 2]"])
async def test_a_verifier_that_answers_nonsense_leaves_pairs_unverified_and_counted(
    nonsense: str,
) -> None:
    ask = ScriptedAsk([nonsense] * 9)
    kept = await verifier().verify(PAIRS, make_chunk(), ask)
    assert [pair.answer for pair in kept] == [pair.answer for pair in PAIRS]
    assert all(pair.flags == ("unverified",) for pair in kept)
    assert outcomes(ask) == ["unverified", "unverified"]


async def test_a_reply_that_is_left_out_is_asked_about_once_by_itself() -> None:
    calls = 0

    def lazy(_passage: str, sentence: str) -> tuple[str, str] | None:
        nonlocal calls
        calls += 1
        is_second = sentence in COPPER["answer"]
        return None if is_second and calls < 7 else knows(KETTLES, sentence)

    ask = ScriptedVerifier(lazy)
    kept = await verifier().verify(PAIRS, make_chunk(), ask)
    assert len(ask.prompts) == 2
    assert [pair.flags for pair in kept] == [(), ()]


async def test_a_second_answer_that_is_untrue_is_left_out() -> None:
    ask = ScriptedVerifier(knows)
    pairs = [
        Pair("a", "Fires.", 0, alternative=Alternative(FALSE, "samples")),
        Pair("b", "Fires.", 1, alternative=Alternative("Roofs stood close.", "samples")),
        Pair("c", "Fires.", 2, alternative=Alternative(FALSE, "closed_book")),
    ]
    kept = await verifier().verify_alternatives(pairs, make_chunk(), ask)
    assert [pair.alternative is None for pair in kept] == [True, False, False]


async def test_a_share_of_the_chunks_is_taken_by_hash() -> None:
    ask = ScriptedVerifier(knows)
    sampled = verifier(verify="sample", verify_share=0.3)
    for number in range(200):
        await sampled.verify(PAIRS[:1], make_chunk(f"{number} {KETTLES}"), ask)
    assert 35 < len(ask.prompts) < 85


class Noisy:
    """Knows the truth of every sentence, and is wrong at two known rates."""

    def __init__(self, misses: float, doubts: float) -> None:
        self.misses, self.doubts = misses, doubts
        self.draw = random.Random(7)

    def __call__(self, passage: str, sentence: str) -> tuple[str, str]:
        true = passage.strip() in {text.text for text in CHUNKS} and sentence in TRUE
        share = self.doubts if true else self.misses
        says_true = true != (self.draw.random() < share)
        quote = " ".join(passage.split()[:6])
        return ("supported", quote) if says_true else ("not_in_text", "")


CHUNKS: list[Chunk] = [make_chunk(f"Story {number}. {KETTLES}") for number in range(600)]
TRUE = {
    *(part.strip() + "." for part in LAW["answer"].rstrip(".").split(". ")),
    *(part.strip() + "." for part in KETTLES.rstrip(".").split(". ")),
}


@pytest.mark.parametrize(("misses", "doubts"), [(0.0, 0.0), (0.2, 0.02), (0.6, 0.3)])
async def test_the_trust_figures_of_a_verifier_with_known_error_rates_come_out_right(
    tmp_path: Path, misses: float, doubts: float
) -> None:
    metrics = RunMetrics(tmp_path / "figures.json", tmp_path / "state.json")
    ask = ScriptedVerifier(Noisy(misses, doubts))
    tested = verifier(verify_trust=1.0)
    for chunk in CHUNKS[:600]:
        ask.told.clear()
        await tested.verify(PAIRS[:1], chunk, ask)
        for event in ask.told:
            assert isinstance(event, PairVerified | SentenceTried)
            metrics.listen_to_verifier(event)
    metrics.save()
    figures = orjson.loads((tmp_path / "figures.json").read_bytes())["verify"]
    controls = figures["controls"]
    assert set(controls) >= {"number", "foreign", "exchanged", "copied"}
    for kind, found in controls.items():
        assert found["rated"] >= ENOUGH
        wanted = doubts if kind == "copied" else 1 - misses
        if kind == "copied":
            assert found["share"] == pytest.approx(wanted, abs=0.05)
        else:
            assert found["share"] == pytest.approx(wanted, abs=0.12)
    shown = {check.name: check for check in verdicts(parse_figures(metrics_bytes(tmp_path)))}
    numbers = shown["Verifier: planted errors found (number changed)"]
    assert numbers.status == ("ok" if misses < 0.2 else "warn" if misses < 0.5 else "fail") or (
        misses == 0.2
    )
    doubted = shown["Verifier: the text's own sentences that it doubts"]
    assert doubted.status == ("ok" if doubts < 0.05 else "fail")


def metrics_bytes(folder: Path) -> bytes:
    return (folder / "figures.json").read_bytes()


async def test_a_verifier_that_never_looks_at_the_passage_is_found_out(tmp_path: Path) -> None:
    metrics = RunMetrics(tmp_path / "figures.json", tmp_path / "state.json")
    ask = ScriptedVerifier(lambda passage, _: ("supported", " ".join(passage.split()[:6])))
    tested = verifier()
    tested = make_verifier(settings(verify="all", verify_trust=0.05), None, None) or tested
    for chunk in CHUNKS[:400]:
        await tested.verify(PAIRS[:1], chunk, ask)
    for event in ask.told:
        assert isinstance(event, PairVerified | SentenceTried)
        metrics.listen_to_verifier(event)
    metrics.save()
    failed = {
        check.name
        for check in verdicts(parse_figures(metrics_bytes(tmp_path)))
        if check.status == "fail"
    }
    assert len(failed) >= 3
    assert "Verifier: planted errors found (passage exchanged)" in failed
    planted = sum(isinstance(event, SentenceTried) for event in ask.told)
    assert planted >= ENOUGH * len(SENTENCE_FAULTS)


async def test_the_recipe_drops_and_cuts_before_second_answers_and_ratings() -> None:
    recipe = make_recipe(settings(verify="all", verify_trust=0.0, style_card="off"))
    untrue = {**LAW, "answer": f"{LAW['answer']} The tin of the kettles came from Cornwall."}

    class Both(ScriptedVerifier):
        async def __call__(
            self, prompt: Prompt, answer: type[Answer], *rest: Any, **given: Any
        ) -> Answer:
            if "verdicts" in answer.model_fields:
                return await super().__call__(prompt, answer, *rest, **given)
            self.replies = [reply(untrue)]
            return await ScriptedAsk.__call__(self, prompt, answer, *rest, **given)

    (pair,) = await recipe.write(make_chunk(), Both(knows))
    assert pair.answer == LAW["answer"]
    assert pair.grounding is not None
    off = make_recipe(settings(style_card="off"))
    assert recipe.identity != off.identity


async def test_a_quotation_with_personal_data_is_kept_with_placeholders() -> None:
    text = f"{KETTLES} Write to hans.meier@mailbox.net about the brewers of the valley."
    quote = "Write to hans.meier@mailbox.net about the brewers"
    ask = ScriptedVerifier(lambda *_: ("supported", quote))
    (kept,) = await verifier().verify(PAIRS[:1], make_chunk(text), ask)
    assert kept.verification is not None
    assert all("hans.meier" not in each for each in kept.verification.quotes)
    assert "[EMAIL]" in kept.verification.quotes[0]


@pytest.mark.parametrize("said", [None, ("supported", "words that stand nowhere in the text")])
async def test_a_verifier_without_a_verdict_that_counts_is_not_paid_to_the_end(
    said: tuple[str, str] | None,
) -> None:
    ask, silent = ScriptedVerifier(lambda _passage, _sentence: said), verifier(verify_trust=1.0)
    for number in range(2 * MOST_MISSED):
        kept = await silent.verify(PAIRS, make_chunk(f"{number} {KETTLES}"), ask)
        assert [pair.flags for pair in kept] == [("unverified",)] * len(PAIRS)
    assert len(ask.prompts) == MOST_MISSED
    assert outcomes(ask) == ["unverified"] * 2 * MOST_MISSED * len(PAIRS)
    (notice,) = (event.text for event in ask.told if isinstance(event, Notice))
    assert "the verifier gave no usable answer to 20 questions" in notice

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator

import pytest
from tests.unit.quality.corpus import Example, make_examples, stray_answer

from pairmill.quality.canary import Canary, CanaryLimits, CanaryWindow, ChunkComparer
from pairmill.quality.grounding import PreparedChunk, PreparedPair, prepare_chunk, prepare_pair

Model = Callable[[random.Random, Example], tuple[str, str]]


class Watcher(Canary):
    """A canary that is shown chunks and pairs."""

    def __init__(self, seed: int = 0, limits: CanaryLimits | None = None) -> None:
        super().__init__(limits)
        self.comparer = ChunkComparer(seed)

    def watch(self, chunk: PreparedChunk, pairs: Iterable[PreparedPair]) -> CanaryWindow | None:
        return self.add(self.comparer.look(chunk, list(pairs)))


def follows(rng: random.Random, example: Example) -> tuple[str, str]:
    return example.instruction, example.answer


def ignores(rng: random.Random, example: Example) -> tuple[str, str]:
    return f"{example.instruction} {rng.random()}", stray_answer(rng)


def repeats(rng: random.Random, example: Example) -> tuple[str, str]:
    return rng.choice(["Describe the role of the kettle.", "Explain it all."]), example.answer


def play(model: Model, seed: int, chunks: int) -> Iterator[tuple[int, CanaryWindow]]:
    """Feed a canary with what a model makes of so many chunks; yield each judgement."""
    rng = random.Random(seed)
    canary = Watcher(seed)
    examples = make_examples(chunks * 3, seed)
    for number in range(chunks):
        window = canary.watch(*prepared(examples[number * 3 : number * 3 + 3], model, rng))
        if window:
            yield number + 1, window


def prepared(
    examples: list[Example], model: Model, rng: random.Random
) -> tuple[PreparedChunk, list[PreparedPair]]:
    chunk = prepare_chunk(examples[0].source.text)
    return chunk, [prepare_pair(*model(rng, example)) for example in examples]


@pytest.mark.parametrize("seed", range(20))
def test_a_model_that_follows_its_chunk_is_never_stopped(seed: int) -> None:
    windows = list(play(follows, seed, 600))
    assert [at for at, _ in windows] == [50, 550]
    assert all(window.problem is None and window.lift > 0.3 for _, window in windows)


def conclude(model: Model, seed: int, chunks: int) -> CanaryWindow | None:
    rng = random.Random(seed)
    canary = Watcher(seed)
    examples = make_examples(chunks * 3, seed)
    for number in range(chunks):
        canary.watch(*prepared(examples[number * 3 : number * 3 + 3], model, rng))
    return canary.conclude()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("chunks", [10, 25, 49, 62])
def test_what_is_left_at_the_end_is_judged_too(seed: int, chunks: int) -> None:
    good, blind = conclude(follows, seed, chunks), conclude(ignores, seed, chunks)
    assert good is not None
    assert good.problem is None
    assert blind is not None
    assert "is the text in the prompt?" in (blind.problem or "")
    assert f"over {chunks if chunks < 50 else chunks - 50} chunks" in (blind.problem or "")


def test_too_few_chunks_are_not_judged_at_the_end() -> None:
    assert conclude(ignores, 1, 9) is None
    assert conclude(ignores, 1, 50) is None


@pytest.mark.parametrize("seed", range(20))
def test_a_model_that_ignores_its_chunk_is_stopped_within_100_chunks(seed: int) -> None:
    at, window = next(play(ignores, seed, 100))
    assert at <= 100
    assert window.problem is not None
    assert window.problem.startswith("the answers are no closer to their chunk than to any other")
    assert window.problem.endswith("is the text in the prompt?")


@pytest.mark.parametrize("seed", range(20))
def test_answers_to_other_chunks_are_seen_too(seed: int) -> None:
    """The text reaches the model, but never with its own question: an off-by-one of ours."""
    rng = random.Random(seed)
    examples = make_examples(303, seed)
    canary = Watcher(seed)
    windows = []
    for at in range(0, 300, 3):
        chunk = prepare_chunk(examples[at].source.text)
        pairs = [prepare_pair(*follows(rng, example)) for example in examples[at + 3 : at + 6]]
        windows.append(canary.watch(chunk, pairs))
    problems = [window.problem for window in windows if window]
    assert problems
    assert problems[0] is not None


def test_a_model_that_repeats_itself_is_stopped() -> None:
    _, window = next(play(repeats, 3, 60))
    assert window.problem is not None
    assert "repeat an earlier one" in window.problem


@pytest.mark.parametrize(("times", "is_problem"), [(2, False), (3, True)])
def test_half_of_the_instructions_may_repeat_others_and_no_more(
    times: int, *, is_problem: bool
) -> None:
    canary = Watcher(limits=CanaryLimits(first_chunks=20))
    windows = []
    for example in make_examples(20, 3):
        pair = prepare_pair(*follows(random.Random(3), example))
        windows.append(canary.watch(prepare_chunk(example.source.text), [pair] * times))
    (window,) = [window for window in windows if window]
    assert (window.problem is not None) == is_problem


def states(rng: random.Random, example: Example) -> tuple[str, str]:
    return "", example.answer


def states_one_thing(rng: random.Random, example: Example) -> tuple[str, str]:
    return "", f"{rng.choice(['Always', 'Never'])} the same text of the kettle and its lid."


def test_texts_without_an_instruction_do_not_repeat_one() -> None:
    windows = list(play(states, 3, 600))
    assert [(at, window.problem) for at, window in windows] == [(50, None), (550, None)]


def test_texts_that_repeat_each_other_are_seen() -> None:
    _, window = next(play(states_one_thing, 3, 60))
    assert window.repeat_share > 0.9


def test_a_model_that_fails_later_is_stopped_in_its_window() -> None:
    rng = random.Random(1)
    examples = make_examples(1100 * 3, 1)
    canary = Watcher()
    verdicts = []
    for number in range(1100):
        model = follows if number < 600 else ignores
        window = canary.watch(*prepared(examples[number * 3 : number * 3 + 3], model, rng))
        if window:
            verdicts.append((number + 1, window.problem is None))
    assert verdicts == [(50, True), (550, True), (1050, False)]


def test_chunks_that_are_all_alike_do_not_stop_a_model_that_follows_them() -> None:
    example = make_examples(1)[0]
    canary = Watcher()
    window = None
    for number in range(50):
        chunk = prepare_chunk(f"{example.source.text} Page {number}.")
        pair = prepare_pair(f"{example.instruction} {number}", example.source.text)
        window = canary.watch(chunk, [pair])
    assert window is not None
    assert window.lift < 0.15
    assert window.problem is None


def test_few_pairs_and_chunks_without_pairs_give_no_verdict() -> None:
    example = make_examples(1)[0]
    canary = Watcher(limits=CanaryLimits(first_chunks=5, least_pairs=30))
    chunk = prepare_chunk(example.source.text)
    assert all(canary.watch(chunk, []) is None for _ in range(200))
    windows = [canary.watch(chunk, [prepare_pair("Why?", "Stray words")]) for _ in range(5)]
    assert windows[:4] == [None] * 4
    assert windows[4] is not None
    assert windows[4].problem is None


def test_the_same_pairs_and_seed_give_the_same_figures() -> None:
    assert list(play(follows, 7, 60)) == list(play(follows, 7, 60))


def made_of(chunk: int, own: int) -> tuple[PreparedChunk, list[PreparedPair]]:
    """A chunk with words of its own, and an answer of 25, so many of them the chunk's."""
    letters = "abcdefghijklmnopqrstuvwxy"
    first, second = divmod(chunk, 25)
    theirs = [f"qu{letters[first]}{letters[second]}{letter}x" for letter in letters]
    nobodys = [f"zw{letters[first]}{letters[second]}{letter}x" for letter in letters]
    answer = " ".join([*theirs[:own], *nobodys[own:]])
    asked = f"What is {theirs[0]} about?"
    return prepare_chunk(" ".join(theirs)), [prepare_pair(asked, answer)]


@pytest.mark.parametrize(("own", "falls"), [(2, True), (3, True), (4, False), (6, False)])
def test_it_falls_below_a_lift_of_15_percent(own: int, *, falls: bool) -> None:
    """Of 25 words 3 are 12 percent, and 4 are 16; no other chunk has any."""
    canary = Watcher(1)
    windows = [window for n in range(50) if (window := canary.watch(*made_of(n, own)))]
    assert len(windows) == 1
    assert windows[0].lift == pytest.approx(own / 25, abs=0.001)
    assert (windows[0].problem is not None) == falls

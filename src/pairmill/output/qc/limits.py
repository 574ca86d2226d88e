"""Table of the figures of ``qc``: when each is a warning or a failure, and advice."""

from __future__ import annotations

from dataclasses import dataclass

from pairmill.quality.trust import Status

__all__ = ["BY_NATURE", "DROPPED", "LIMITS", "Limit"]


@dataclass(frozen=True, slots=True)
class Limit:
    """A figure's bounds and its hint.

    Attributes:
        label: What the figure is, for people.
        warn: Bound of a warning; None: never.
        fail: Bound of a failure; None: never.
        hint: One line, shown if it is not ok.
        is_share: A share of rows, shown as a percentage.
        low_is_bad: The bounds are lower bounds.
    """

    label: str
    warn: float | None
    fail: float | None
    hint: str
    is_share: bool = True
    low_is_bad: bool = False

    def judge(self, value: float) -> Status:
        """Return the status of a value."""
        for status, bound in ((Status.FAIL, self.fail), (Status.WARN, self.warn)):
            if bound is not None and (value <= bound if self.low_is_bad else value >= bound):
                return status
        return Status.INFO if self.warn is None and self.fail is None else Status.OK


LIMITS = {
    "exact_repeats": Limit(
        "instructions that repeat another", 0.02, 0.10,
        "deduplicate the instructions; ask for other types per chunk; raise the temperature"),
    "near_repeats": Limit(
        "instructions nearly like another (Jaccard 0.7), repeats included", 0.06, 0.20,
        "vary type, asker and form in the prompt, and drop near-duplicates"),
    "alike_meanings": Limit(
        "instructions that mean what another means (cosine 0.92), repeats included", 0.20, 0.45,
        "ask for other types and askers, or drop them: export --near embed"),
    "ungrounded": Limit(
        "answers that stand in none of the documents (guard against foreign text)", 0.05, 0.20,
        "is the text in the prompt? read the rows listed"),
    "grounding_lift": Limit(
        "mean coverage by the best passage, less that by the best of another document", 0.15, 0.08,
        "the answers are hardly closer to one document than to the next: is the text in the "
        "prompt?", is_share=False, low_is_bad=True),
    "grounding": Limit(
        "mean share of content words found in the best passage", None, None, "", is_share=False),
    "support": Limit(
        "mean support: the answers' words stand together in the passage, 0 to 1", None, None, "",
        is_share=False),
    "weakly_supported": Limit(
        "answers whose words do not stand together in their passage (support under 0.25)",
        0.10, 0.40,
        "read some: the words are the text's, what is said of them may not be; a verifier tells"),
    "unsupported_sentences": Limit(
        "sentences that a verifier did not find supported", 0.05, 0.20,
        "verify with a policy that cuts, or leave the rows out: export --verified"),
    "copied": Limit(
        "answers copied from their document", 0.05, 0.25,
        "tell the model to rewrite; drop runs of 25 words and more"),
    "unseen_numbers": Limit(
        "answers with numbers that their passage lacks", 0.15, None,
        "check them: models add figures from memory"),
    "leaked_terms": Limit(
        "rows that name what only the prompt's examples name", 0.01, 0.05,
        "use examples from far-off domains, and drop these rows"),
    "common_phrase": Limit(
        "instructions that share their most common phrase", 0.10, None,
        "is it the example in your prompt? a subject of the texts is no fault"),
    "meta_references": Limit(
        "rows that point at a text the reader lacks", 0.01, 0.05,
        "forbid 'the passage', 'the author'; ask again for these rows"),
    "meta_text": Limit(
        "rows with chatter, labels or placeholders", 0.005, 0.02,
        "ask for JSON by schema; drop these rows"),
    "refusals": Limit(
        "answers that are empty or refuse", 0.005, 0.02, "drop them: they teach refusing"),
    "wrong_language": Limit(
        "rows in another language than their text", 0.01, 0.05,
        "say the language in the prompt; drop these rows"),
    "truncated": Limit(
        "answers that end in mid-sentence", 0.02, 0.10,
        "drop them; where you make them yourself, raise max_tokens"),
    "personal_data": Limit(
        "rows with e-mail addresses, phone, card, account or IP numbers", 0.005, 0.02,
        "redact them before training"),
    "secrets": Limit(
        "rows with something shaped like a key", 0.0001, 0.001, "remove them, and revoke the keys"),
    "yes_no": Limit(
        "yes/no questions with short answers", 0.10, 0.30, "forbid yes/no questions"),
    "short_answers": Limit(
        "answers below 25 words", 0.30, None, "ask for complete answers, if brief is not the aim"),
    "first_words": Limit(
        "instructions that begin with one of three words", 0.60, 0.90,
        "vary how requests begin: other types, askers and forms"),
    "distinct_2": Limit(
        "different word pairs among all, instructions, sample of 1,000", 0.25, 0.12,
        "the instructions are much alike: vary types and forms",
        is_share=False, low_is_bad=True),
    "compression_ratio": Limit(
        "how far zlib packs the instructions, sample of 1,000", 5.0, 7.0,
        "the instructions are much alike: vary types and forms", is_share=False),
    "train_test_leak": Limit(
        "test instructions that stand in train as well, or nearly", 0.005, 0.02,
        "split by document and by near-duplicate group, never by pair"),
    "instruction_words": Limit("mean words of an instruction", None, None, "", is_share=False),
    "answer_words": Limit("mean words of an answer", None, None, "", is_share=False),
}  # fmt: skip
"""Key to bounds, in the order of the table. The keys are stable; the bounds may move with evidence.

Where they come from: 2,500 pairs of a published dataset whose answers stand in none of its texts
have 24 % exact and 35 % near repeats, a lift of 0.04, 46 % of test in train, and on a sample of
1,000 a distinct-2 of 0.17 and a compression ratio of 6.6. By embeddings (cosine 0.90) 56 % of its
instructions have a like one, of as many random sentences of its texts 21 %.
"""

BY_NATURE = frozenset(
    {"yes_no", "short_answers", "first_words", "common_phrase", "distinct_2", "compression_ratio"}
)
"""Figures that are neither good nor bad in general data: sums are short, templates are alike."""

DROPPED = (
    "exact_repeats", "near_repeats", "ungrounded", "leaked_terms", "meta_text", "refusals",
    "wrong_language", "secrets",
)  # fmt: skip
"""Figures whose rows ``--clean`` leaves out: those of checks that drop a pair while generating."""

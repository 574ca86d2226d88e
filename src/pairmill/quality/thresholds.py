"""Policies of all checks, and all thresholds, in one table.

The numbers come from controls: verbatim sentences cover 0.98 of an answer's content words, a crude
paraphrase 0.70, unrelated text 0.25. Of answers that are faithful to their text 0 to 2 % have a
support under 0.25 (retold sentences, summaries that people found true, replies of a large model),
of answers to another passage of the document 79 %. ``VERSION`` is raised with every change of a
number, and is in the dataset's manifest.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pairmill.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DEFAULT",
    "LATEST_FORMULA",
    "LEAST_COSINE",
    "LEAST_JACCARD",
    "POLICIES",
    "TABLES",
    "VERSION",
    "CheckPolicy",
    "Thresholds",
    "override",
]

VERSION = "5"
LATEST_FORMULA = 2
"""Version of the score ``support``; a run folder keeps the one that it was begun with."""

# For the ordered pass over all pairs after a run, which drops nothing from the run itself.
LEAST_JACCARD = 0.7
"""Jaccard similarity of three-word runs from which two instructions are near-duplicates."""
LEAST_COSINE = 0.92
"""Likewise, the cosine of their embeddings, if those are requested."""


class CheckPolicy(StrEnum):
    """Policies for a pair with a finding, mildest first."""

    KEEP = "keep"  # nothing: the check does not even run
    FLAG = "flag"  # its name goes into the row's flags
    REPAIR = "repair"  # the model is asked once to correct the pair, given the reason
    DROP = "drop"  # the pair goes to rejected/


POLICIES: Mapping[str, CheckPolicy] = MappingProxyType(
    {
        "points_at_source": CheckPolicy.REPAIR,
        "ungrounded": CheckPolicy.DROP,
        "weakly_grounded": CheckPolicy.FLAG,
        "weakly_supported": CheckPolicy.FLAG,
        "unseen_number": CheckPolicy.FLAG,
        "unseen_name": CheckPolicy.FLAG,
        "evidence_missing": CheckPolicy.FLAG,
        "near_copy": CheckPolicy.REPAIR,
        "instruction_length": CheckPolicy.FLAG,
        "answer_length": CheckPolicy.FLAG,
        "yes_no": CheckPolicy.FLAG,
        "refusal": CheckPolicy.DROP,
        "meta_text": CheckPolicy.DROP,
        "prompt_leak": CheckPolicy.DROP,
        "language": CheckPolicy.DROP,
        "truncated": CheckPolicy.FLAG,
        "twin": CheckPolicy.DROP,
        "personal_data": CheckPolicy.FLAG,
        "secret": CheckPolicy.DROP,
    }
)
"""Every check that runs while generating, and its default policy."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Policies and numbers; lengths in words, where two Chinese or Japanese characters are one.

    Attributes:
        grounding_min_words: Minimum content words for an answer to be ``ungrounded``; a shorter one
            is at most ``weakly_grounded``, since a single synonym would decide it.
        support_formula: Version of the score ``support`` (`pairmill.quality.support`).
    """

    policies: Mapping[str, CheckPolicy] = field(default_factory=lambda: POLICIES, hash=False)
    ungrounded_below: float = 0.30
    weakly_grounded_below: float = 0.45
    grounding_min_words: int = 3
    weakly_supported_below: float = 0.25
    support_formula: int = LATEST_FORMULA
    evidence_least: float = 90.0
    copy_run_words: int = 25
    copy_density: float = 12.0
    instruction_min_words: int = 4
    instruction_max_words: int = 80
    answer_min_words: int = 25
    definition_min_words: int = 15
    answer_max_words: int = 600
    yes_no_below_words: int = 40
    twin_instruction: float = 85.0
    twin_answer: float = 0.6
    version: str = VERSION


DEFAULT = Thresholds()

_BEFORE_5: Mapping[str, Any] = {"weakly_supported_below": 0.15, "support_formula": 1}
_BEFORE_3 = {**POLICIES, "weakly_supported": CheckPolicy.KEEP}

TABLES: Mapping[str, Thresholds] = MappingProxyType(
    {
        "1": Thresholds(
            policies=MappingProxyType(
                {**_BEFORE_3, "near_copy": CheckPolicy.DROP, "truncated": CheckPolicy.DROP}
            ),
            grounding_min_words=0,
            version="1",
            **_BEFORE_5,
        ),
        "2": Thresholds(
            policies=MappingProxyType(_BEFORE_3), grounding_min_words=0, version="2", **_BEFORE_5
        ),
        "3": Thresholds(grounding_min_words=0, version="3", **_BEFORE_5),
        "4": Thresholds(version="4", **_BEFORE_5),
        VERSION: DEFAULT,
    }
)
"""All versions of the table: a run folder keeps the one that it was begun with."""


def override(given: Mapping[str, object], base: Thresholds = DEFAULT) -> Thresholds:
    """Change policies (``near_copy: keep``) and numbers (``answer_min_words: 10``) by name.

    Raises:
        ConfigError: A name is unknown, or a value is no policy or no number.
    """
    own = {"policies", "version", "support_formula"}
    numbers = {entry.name for entry in fields(Thresholds)} - own
    policies = dict(base.policies)
    changed: dict[str, float] = {}
    for name, value in given.items():
        if name in policies:
            policies[name] = _policy(name, value)
        elif name in numbers:
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ConfigError(f"checks.{name}: needs a number, 0 or more")
            changed[name] = value
        else:
            near = difflib.get_close_matches(name, [*policies, *numbers], n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ConfigError(f"checks: unknown check or threshold '{name}'{hint}")
    version = base.version if base.version.endswith("+changed") else f"{base.version}+changed"
    return replace(
        base,
        policies=MappingProxyType(policies),
        version=version if given else base.version,
        **changed,  # type: ignore[arg-type]
    )


def _policy(name: str, value: object) -> CheckPolicy:
    if value is False or value == "off":  # YAML reads off as a truth value
        return CheckPolicy.KEEP
    if isinstance(value, str) and value in list(CheckPolicy):
        return CheckPolicy(value)
    raise ConfigError(f"checks.{name}: needs one of {', '.join(CheckPolicy)}")

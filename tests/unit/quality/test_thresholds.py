from __future__ import annotations

import pytest

from pairmill.errors import ConfigError
from pairmill.quality.thresholds import DEFAULT, VERSION, CheckPolicy, override


def test_policies_and_numbers_change_by_name_and_show_in_the_version() -> None:
    changed = override({"refusal": "flag", "copy_density": 9.5})
    assert changed.policies["refusal"] is CheckPolicy.FLAG
    assert changed.copy_density == 9.5
    assert changed.version == f"{VERSION}+changed"
    assert override({}) == DEFAULT
    assert override({"yes_no": "drop"}, changed).version == f"{VERSION}+changed"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"near_copi": "drop"}, "did you mean 'near_copy'?"),
        ({"near_copy": "delete"}, "checks.near_copy: needs one of keep, flag, repair, drop"),
        ({"near_copy": 3}, "needs one of"),
        ({"copy_density": "high"}, "checks.copy_density: needs a number"),
        ({"copy_density": True}, "needs a number"),
        ({"copy_density": -1}, "needs a number"),
        ({"version": "2"}, "checks: unknown check or threshold 'version'"),
    ],
)
def test_mistakes_are_named(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        override(given)
    assert message in str(caught.value)


@pytest.mark.parametrize("word", [False, "off"])
def test_a_check_that_is_off_does_nothing(word: object) -> None:
    assert override({"language": word}).policies["language"] is CheckPolicy.KEEP

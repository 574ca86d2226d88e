from __future__ import annotations

import pytest

from pairmill.quality.stems import stem
from pairmill.quality.text import count_words, key, prepare, words


def test_words_are_folded_and_punctuation_breaks_them() -> None:
    assert words("Don't PANIC: it's foo_bar(3)!") == (
        "dont", "panic", "its", "foo", "bar", "3",
    )  # fmt: skip


def test_ascii_and_other_texts_are_cut_alike() -> None:
    text = "A well-known rule: don't trust x_y; 3.5 is 'fine'."
    assert words(f"{text} é") == (*words(text), "é")
    assert words("don\u2019t") == words("don't")


def test_scripts_without_spaces_are_cut_into_characters() -> None:
    assert words("東京タワー2024年") == ("東", "京", "タ", "ワ", "ー", "2024", "年")
    assert words("ภาษา") == tuple("ภาษา")


def test_combining_marks_do_not_cut_words() -> None:
    assert words("हिन्दी में") == ("हिन्दी", "में")


@pytest.mark.parametrize(
    "forms",
    [
        "brew brewing brewed brewer brewers", "study studies studied studying",
        "create creates creation creating", "happy happily happiness", "run running runner runs",
        "city cities", "inform information informed", "organize organization organizing",
    ],
)  # fmt: skip
def test_forms_of_a_word_share_a_stem(forms: str) -> None:
    assert len({stem(form) for form in forms.split()}) == 1


def test_different_words_keep_different_stems() -> None:
    listed = ["ring", "rung", "bed", "bell", "status", "process", "news", "kettle", "copper"]
    assert len({stem(word) for word in listed}) == len(listed)


def test_content_leaves_out_function_words_and_bare_numbers() -> None:
    assert prepare("It was the kettles that, in 1874, were used a lot.").content == {"kettl", "lot"}


def test_content_of_japanese_is_pairs_of_characters() -> None:
    assert prepare("東京都", "ja").content == {"東京", "京都"}


def test_content_of_another_language_is_prefixes_without_its_function_words() -> None:
    assert prepare("Die Brauereien und der Kessel", "de").content == {"brauer", "kessel"}


def test_two_wide_characters_count_as_a_word() -> None:
    assert count_words(prepare("one two three")) == 3
    assert count_words(prepare("東京タワー", "ja")) == 3


def test_key_ignores_case_spacing_and_punctuation() -> None:
    assert key("What is  X?") == key("what is x")

# ruff: noqa: RUF001 (samples of many scripts)
from __future__ import annotations

import subprocess
import sys

import pytest

from pairmill.quality import language
from pairmill.quality.language import differs, identify, primary
from pairmill.quality.text import prepare

SAMPLES = {
    "en": "The brewers of the valley used a copper kettle because it spread the heat evenly.",
    "de": "Die Brauer im Tal benutzten einen Kessel aus Kupfer, weil er die Hitze nicht staut.",
    "fr": "Les brasseurs de la vallée se servent d'une cuve en cuivre, car elle est plus sûre.",
    "es": "Los cerveceros del valle usaban una caldera de cobre porque el calor no se pierde.",
    "it": "I birrai della valle usavano una caldaia di rame perché il calore non si perde.",
    "pt": "Os cervejeiros do vale usavam uma caldeira de cobre porque não se perde o calor.",
    "nl": "De brouwers in het dal gebruikten een koperen ketel omdat de hitte niet verloren ging.",
    "pl": "Piwowarzy z doliny używali miedzianego kotła, który nie tracił ciepła, i był tani.",
    "ru": "Пивовары из долины брали медный котёл, потому что он не терял тепло и был прочен.",
    "uk": "Пивовари з долини брали мідний котел, бо він не втрачав тепла, і це було добре.",
    "ja": "谷の醸造者は銅の釜を使っていました。",
    "zh": "山谷里的酿酒师使用铜锅，因为它传热均匀。",
    "ko": "골짜기의 양조업자들은 구리 솥을 사용했다.",
    "ar": "استخدم صانعو الجعة في الوادي غلاية نحاسية لأنها توزع الحرارة.",
    "el": "Οι ζυθοποιοί της κοιλάδας χρησιμοποιούσαν χάλκινο καζάνι.",
    "th": "คนต้มเบียร์ในหุบเขาใช้หม้อทองแดง",
    "hi": "घाटी के शराब बनाने वाले तांबे की केतली का उपयोग करते थे।",
}


@pytest.mark.parametrize("language", SAMPLES)
def test_languages_are_known_by_one_sentence(language: str) -> None:
    assert identify(SAMPLES[language]) == language


@pytest.mark.parametrize("language", SAMPLES)
@pytest.mark.parametrize("expected", SAMPLES)
def test_a_text_differs_from_every_other_language(language: str, expected: str) -> None:
    text = prepare(SAMPLES[language] * 2)
    assert differs(text, expected) == (None if language == expected else language)


def test_little_text_and_code_never_differ() -> None:
    assert differs(prepare("Warum nicht?"), "en") is None
    assert differs(prepare("x = [f(a, b) for a, b in zip(xs, ys)]\nprint(x)"), "en") is None
    assert differs(prepare(SAMPLES["de"]), None) is None


def test_a_foreign_quotation_does_not_change_the_language() -> None:
    assert identify(f"{SAMPLES['en']} The word is 銅の釜.") == "en"


@pytest.mark.parametrize(
    ("tag", "code"), [("en-US", "en"), ("pt_BR", "pt"), ("English", None), ("", None), (None, None)]
)
def test_language_tags(tag: str | None, code: str | None) -> None:
    assert primary(tag) == code


def test_no_http_client_is_loaded_to_know_a_language() -> None:
    """The package that includes the model imports one, for models that it can download."""
    script = f"""
import sys
from pairmill.quality.language import identify
assert identify({SAMPLES["pl"]!r}) == "pl"
print("fasttext" in sys.modules, "requests" in sys.modules)
"""
    command = [sys.executable, "-c", script]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.split() == ["True", "False"]


def test_the_package_is_asked_where_it_keeps_the_model_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = language._model()
    monkeypatch.setattr(language, "find_spec", lambda _name: None)
    asked = language._model.__wrapped__()
    assert asked is not found
    for sample in SAMPLES.values():
        assert asked(sample) == found(sample)

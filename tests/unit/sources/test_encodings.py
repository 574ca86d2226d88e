# ruff: noqa: RUF001 (real letters of many scripts)
from __future__ import annotations

import pytest

from pairmill.sources.encodings import decode, fix_mojibake

SENTENCES = {
    "cp1250": (
        "Příliš žluťoučký kůň úpěl ďábelské ódy. Včera večer jsme šli domů.",
        "Wczoraj wieczorem poszliśmy do lasu, gdzie leżał jeszcze śnieg, żółty i gęsty.",
        "Tegnap este hazamentünk az erdőn át, ahol még hó feküdt a kövön.",
    ),
    "cp1252": (
        "Über den Fluß führt eine alte Brücke, die schön und müde aussieht.",
        "El niño pequeño comió piñas en la montaña, según la opinión de su mamá.",
        "Não há razão para a questão: a informação está à mão, disse o irmão.",
        "Där går en gås över ån, och den är grå. Själv är jag från Åmål.",
        "Il caffè è più buono così, perché l’ha fatto lui. Però costa di più.",
        "L’été dernier, nous avons visité le moulin à eau, très beau, près de la rivière.",
    ),
    "cp1254": ("İstanbul'da güneşli bir gün: çocuklar şarkı söylüyor, ağaçlar yeşil.",),
    "cp1251": ("Съешь же ещё этих мягких французских булок.",),
    "cp1253": ("Η γρήγορη αλεπού πηδάει πάνω από το σκυλί.",),
    "cp932": ("水車は川のそばに立ち、穀物を挽いている。" * 2,),
    "gb18030": ("机器学习模型需要大量的训练数据，而这些数据来自网页。",),
    "cp949": ("물레방아는 강가에 서서 곡식을 빻는다. 누가 지었는지 모른다.",),
}
ALL = [(encoding, text) for encoding, texts in SENTENCES.items() for text in texts]


@pytest.mark.parametrize(("encoding", "text"), ALL)
def test_what_declares_nothing_is_read_as_it_was_written(encoding: str, text: str) -> None:
    for times in (1, 4):
        found = decode((text * times).encode(encoding))
        assert found is not None
        assert (found.text, found.replaced) == (text * times, 0)
        wrong = decode((text * times).encode(encoding), "utf-8")  # declared, and not true
        assert wrong is not None
        assert wrong.text == text * times


@pytest.mark.parametrize(("encoding", "text"), ALL)
@pytest.mark.parametrize("wide", ["utf-16-le", "utf-16-be"])
def test_utf_16_needs_no_mark(encoding: str, text: str, wide: str) -> None:
    del encoding
    found = decode((text * 3).encode(wide))
    assert found is not None
    assert found.text == text * 3


@pytest.mark.parametrize("text", [*SENTENCES["cp1252"], *SENTENCES["cp1250"][1:]])
def test_mojibake_is_mended_where_it_explains_the_whole_text(text: str) -> None:
    assert fix_mojibake(text.encode().decode("latin-1")) == text
    assert fix_mojibake(text) == text
    quoted = f"{text} This shows Ã© where é was meant."
    assert fix_mojibake(quoted) == quoted


@pytest.mark.parametrize("encoding", ["iso2022_jp", "iso2022_kr"])
def test_what_switches_character_sets_by_escapes_is_no_ascii(encoding: str) -> None:
    text = "水車小屋は川の" if encoding == "iso2022_jp" else "물레방아는 강가에"
    found = decode(text.encode(encoding))
    assert found is not None
    assert found.text == text
    assert decode(b"a \x1b[31mred\x1b[0m") == ("a \x1b[31mred\x1b[0m", "utf-8", 0)

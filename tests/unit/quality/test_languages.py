"""The table of pairmill.quality.phrases: what is planted is found, clean text is not."""
# ruff: noqa: RUF001, E501 (texts of many scripts)

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.unit.quality.languages import TEXTS

from pairmill.quality.filters import CHECKS, inspect
from pairmill.quality.grounding import prepare_chunk, prepare_pair, score
from pairmill.quality.language import UNDETERMINED, differs, identify, is_strange_script
from pairmill.quality.phrases import NOT_IN, ONLY_IN, applies
from pairmill.quality.text import prepare
from pairmill.quality.thresholds import POLICIES, override

# Only what is looked at here: short texts are too short for the limits on length.
LENGTHS = override({"instruction_length": "keep", "answer_length": "keep"})
ALL = sorted(TEXTS)


def found(language: str, instruction: str, answer: str) -> set[str]:
    texts = TEXTS[language]
    chunk = prepare_chunk(texts.passage, language=language)
    pair = prepare_pair(instruction, answer, language=chunk.language)
    return {finding.check for finding in inspect(pair, chunk, thresholds=LENGTHS)}


@pytest.mark.parametrize("language", ALL)
def test_a_language_is_known_by_its_text(language: str) -> None:
    texts = TEXTS[language]
    assert identify(texts.passage) == language
    assert differs(prepare(texts.answer, language), language) is None


@pytest.mark.parametrize("language", ALL)
@pytest.mark.parametrize("other", ALL)
def test_an_answer_in_another_language_is_noticed(language: str, other: str) -> None:
    is_found = "language" in found(language, TEXTS[language].instruction, TEXTS[other].answer)
    assert is_found == (language != other)


@pytest.mark.parametrize("language", ALL)
def test_clean_text_is_left_alone(language: str) -> None:
    texts = TEXTS[language]
    assert found(language, texts.instruction, texts.answer) == set()


@pytest.mark.parametrize("language", ALL)
@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("pointing_instructions", "points_at_source"),
        ("pointing_answers", "points_at_source"),
        ("refusals", "refusal"),
        ("chatter", "meta_text"),
        ("yes_no", "yes_no"),
    ],
)
def test_what_is_planted_is_found(language: str, kind: str, check: str) -> None:
    texts = TEXTS[language]
    for planted in getattr(texts, kind):
        is_asked = kind in {"pointing_instructions", "yes_no"}
        instruction = planted if is_asked else texts.instruction
        answer = texts.answer if is_asked else planted
        assert applies(check, language)
        assert check in found(language, instruction, answer), planted


@pytest.mark.parametrize("language", ALL)
def test_a_text_about_something_else_is_not_grounded(language: str) -> None:
    """An answer that repeats its passage covers it; the answer of another passage does not."""
    texts = TEXTS[language]
    chunk = prepare_chunk(UNRELATED[language], language=language)
    pair = prepare_pair(texts.instruction, texts.answer, language=language)
    own = prepare_chunk(texts.passage, language=language)
    assert score(pair, own) >= 0.40
    assert score(pair, chunk) < 0.30


@pytest.mark.parametrize("language", ["zh", "ja", "th", "en", "de"])
def test_a_copied_clause_is_no_near_copy_and_a_copied_passage_is(language: str) -> None:
    texts = TEXTS[language]
    assert "near_copy" not in found(language, texts.instruction, texts.answer)
    assert "near_copy" in found(language, texts.instruction, texts.passage)


@pytest.mark.parametrize(
    ("language", "instruction"),
    [("ja", "なぜ古い梁を使いましたか？"), ("ko", "왜 낡은 들보를 썼습니까?")],
)
def test_a_question_for_a_reason_is_no_yes_no_question(language: str, instruction: str) -> None:
    assert "yes_no" not in found(language, instruction, TEXTS[language].answer)


def test_a_check_that_cannot_work_in_a_language_does_not_run() -> None:
    assert not applies("truncated", "th")
    assert not applies("points_at_source", "sw")
    assert not applies("unseen_name", "de")
    assert applies("truncated", "en")
    assert all(applies(check, "en") for check in CHECKS)
    assert set(CHECKS) == set(POLICIES)


STRANGE = {  # scripts that the identification model answers "English" or "Finnish" to
    "Sylheti": "ꠍꠤꠟꠐꠤ ꠜꠣꠡꠣ ꠅꠁꠟ ꠛꠣꠋꠟꠣꠖꠦꠡꠞ ꠍꠤꠟꠦꠐ ꠄꠟꠣꠇꠣꠞ ꠝꠣꠘꠡꠞ ꠜꠣꠡꠣ",
    "Vai": "ꕉꕜꕮ ꔔꘋ ꖸ ꔰ ꗋꘋ ꕮꕨ ꔔꘋ ꖸ ꕎ ꕉꖸꕊ ꕴꖃ ꕃꔤꘂ ꗱ ꕉꖷ ꗪꗡ ꔻ ꔤ ꗏꗒꗡ",
    "N'Ko": "ߓߟߏߦߊ ߟߎ߬ ߦߋ߫ ߞߊ߲ߓߍ߲ߞߊ߲ ߠߋ߬ ߘߌ߫ ߡߍ߲ ߦߋ߫ ߡߐ߱ ߟߎ߬ ߓߍ߯ ߞߊ߲߬",
    "Javanese": "ꦱꦧꦼꦤ꧀ꦮꦺꦴꦁꦭꦲꦶꦂꦏꦤ꧀ꦛꦶꦩꦂꦢꦶꦏꦭꦤ꧀ꦝꦂꦧꦺꦩꦂꦠꦧꦠ꧀ꦭꦤ꧀ꦲꦏ꧀ꦲꦏ꧀ꦏꦁꦥꦝ꧉",
}


@pytest.mark.parametrize("claimed", [None, "en"])
@pytest.mark.parametrize("script", STRANGE)
def test_in_a_script_that_is_not_known_no_check_of_words_runs(
    script: str, claimed: str | None
) -> None:
    text = STRANGE[script]
    chunk = prepare_chunk(f"{text} {text[::-1]}", language=claimed)
    pair = prepare_pair(text[:30], f"{text[5:]} {text[:15]}", language=chunk.language)
    assert identify(text) is None
    assert chunk.language == UNDETERMINED
    assert differs(pair.answer, chunk.language) is None
    for check in ("truncated", "language", "refusal", "weakly_supported", "unseen_name"):
        assert not applies(check, chunk.language), check
    assert applies("twin", chunk.language)
    found = {finding.check for finding in inspect(pair, chunk, thresholds=LENGTHS)}
    assert found <= {"near_copy"}


def test_letters_in_a_fancy_form_are_no_other_script() -> None:
    assert identify("𝐓𝐡𝐞 𝐬𝐞𝐭𝐭𝐥𝐞𝐫𝐬 𝐫𝐞𝐛𝐮𝐢𝐥𝐭 the bridge before the winter came to the valley") == "en"
    assert not is_strange_script(TEXTS["ko"].passage + STRANGE["Vai"])


UNRELATED = {
    "en": "Photosynthesis takes place in the chloroplasts of leaves. Light splits water, oxygen is released and sugar is stored as starch in roots and seeds.",
    "de": "Die Photosynthese findet in den Chloroplasten der Blätter statt. Licht spaltet Wasser, Sauerstoff wird frei, und Zucker wird als Stärke in Wurzeln gespeichert.",
    "fr": "La photosynthèse se déroule dans les chloroplastes des feuilles. La lumière décompose l'eau, libère l'oxygène et le sucre est stocké sous forme d'amidon.",
    "es": "La fotosíntesis ocurre en los cloroplastos de las hojas. La luz descompone el agua, libera oxígeno y el azúcar se guarda como almidón en las raíces.",
    "pt": "A fotossíntese ocorre nos cloroplastos das folhas. A luz decompõe a água, liberta oxigénio e o açúcar fica guardado como amido nas raízes.",
    "it": "La fotosintesi avviene nei cloroplasti delle foglie. La luce scinde l'acqua, libera ossigeno e lo zucchero viene conservato come amido nelle radici.",
    "ru": "Фотосинтез происходит в хлоропластах листьев. Свет расщепляет воду, выделяется кислород, а сахар запасается в виде крахмала в корнях.",
    "zh": "光合作用发生在叶片的叶绿体中。光分解水，放出氧气，糖以淀粉的形式储存在根和种子里。",
    "ja": "光合成は葉の葉緑体で行われる。光が水を分解し、酸素が放出され、糖はでんぷんとして根や種子に蓄えられる。",
    "ko": "광합성은 잎의 엽록체에서 일어난다. 빛이 물을 분해하여 산소가 나오고 당은 녹말로 뿌리와 씨앗에 저장된다.",
    "ar": "تحدث عملية التمثيل الضوئي في البلاستيدات الخضراء داخل الأوراق. يحلل الضوء الماء وينطلق الأكسجين ويخزن السكر على شكل نشا في الجذور.",
    "hi": "प्रकाश संश्लेषण पत्तियों के हरितलवक में होता है। प्रकाश जल को तोड़ता है, ऑक्सीजन निकलती है और शर्करा जड़ों में मंड के रूप में जमा होती है।",
    "th": "การสังเคราะห์ด้วยแสงเกิดขึ้นในคลอโรพลาสต์ของใบ แสงทำให้น้ำแตกตัว ออกซิเจนถูกปล่อยออกมา และน้ำตาลสะสมเป็นแป้งในรากและเมล็ด",
    "vi": "Quang hợp diễn ra trong lục lạp của lá. Ánh sáng phân tách nước, oxy thoát ra và đường được dự trữ dưới dạng tinh bột trong rễ và hạt.",
    "tr": "Fotosentez yaprakların kloroplastlarında gerçekleşir. Işık suyu parçalar, oksijen açığa çıkar ve şeker köklerde nişasta olarak depolanır.",
}


NAMES = {
    "Arabic": "ar", "Chinese": "zh", "English": "en", "French": "fr", "German": "de", "Hindi": "hi",
    "Italian": "it", "Japanese": "ja", "Korean": "ko", "Portuguese": "pt", "Russian": "ru",
    "Spanish": "es", "Thai": "th", "Turkish": "tr", "Vietnamese": "vi", "Dutch": "nl", "Lao": "lo",
    "Khmer": "km", "Burmese": "my",
}  # fmt: skip


def test_the_table_of_the_docs_says_what_the_table_of_the_code_does() -> None:
    page = (Path(__file__).parents[3] / "docs" / "quality.md").read_text("utf-8")
    table = page.split("### Languages")[1].split("\n## ")[0]
    told: dict[str, tuple[set[str], set[str]]] = {}
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 3 or not cells[0].startswith("`"):
            continue
        works, fails = ({NAMES[word] for word in re.findall("[A-Z][a-z]+", cell) if word in NAMES}
                        for cell in cells[1:])  # fmt: skip
        for check in re.findall("`([a-z_]+)`", cells[0]):
            told.setdefault(check, (works, fails))
    for check, languages in ONLY_IN.items():
        assert told[check][0] == languages, check
    for check, languages in NOT_IN.items():
        assert told[check][1] == languages, check


UNNAMED = {  # languages in Latin letters that the model cannot name; Universal Declaration, art. 1
    "Swahili": "Watu wote wamezaliwa huru, hadhi na haki zao ni sawa. Wote wamejaliwa akili na dhamiri, hivyo yapasa watendeane kindugu. Kila mtu anastahili kuwa na haki zote na uhuru wote ambao umeelezwa katika Taarifa hii.",
    "Hausa": "Su dai yan-adam, ana haifuwarsu ne duka yantattu, kuma kowannensu na da mutunci da hakkoki daidai da na kowa. Suna da hankali da tunani, saboda haka duk abin da za su aikata wa juna, ya kamata su yi shi a cikin yan-uwanci.",
    "Yoruba": "Gbogbo eniyan ni a bi ni ominira; iyi ati eto kookan si dogba. Won ni ebun ti laakaye ati ti eri-okan, o si ye ki won o maa huwa si ara won gege bi omo iya.",
    "Haitian": "Tout moun fet lib, egal ego pou diyite kou wa dwa. Nou gen la rezon ak la konsyans epi nou fet pou nou aji youn ak lot ak yon lespri fratenite.",
    "Maori": "Ko te katoa o nga tangata i te whanaungatanga mai e watea ana i nga here katoa; e tauriterite ana hoki nga mana me nga tika. E whakawhiwhia ana hoki ki a ratou te ngakau whai whakaaro me te hinengaro mohio ki te tika me te he.",
    "Somali": "Aadanaha dhammaantiis wuxuu dhashaa isagoo xor ah kana siman xagga sharafta iyo xuquuqada Waxaa Alle siiyay aqoon iyo damiir, waana in qof la arkaa qofka kale ula dhaqmo si walaaltinimo ah.",
}
ENGLISH_ALL_THE_SAME = {
    "names": "Aaron, Abel, Bertha, Boris, Carla, Cedric, Dorothy, Edgar, Felix, Gisela, Hugo, Irene, Jonas, Karin, Lukas, Maria, Nikolaus, Otto, Petra, Quentin, Rosa, Stefan, Tanja, Ursula, Viktor, Walter, Xaver, Yvonne, Zoe, Zora",
    "table": "Copper 63.5 Hallstein kettle red; Iron 55.8 Brunn anvil grey; Zinc 65.4 Ostrava roof blue; Tin 118.7 Cornwall can white; Lead 207.2 Derby pipe dull; Nickel 58.7 Sudbury coin bright; Cobalt 58.9 Kolwezi magnet blue",
    "code": "```\nfor kettle in kettles:\n    kettle.heat(to=61)\n```\n" * 8,
    "code under a heading": "##### ECDSA key pairs\n\n```js\nasync function generate() {\n  const { publicKey, privateKey } = await subtle.generateKey();\n  return { publicKey, privateKey };\n}\n```\n"
    * 4,
    "verse": "Season of mists and mellow fruitfulness, Close bosom-friend of the maturing sun; Conspiring with him how to load and bless With fruit the vines that round the thatch-eves run",
}


@pytest.mark.parametrize("claimed", [None, "en"])
@pytest.mark.parametrize("language", UNNAMED)
def test_a_language_that_cannot_be_named_is_not_taken_for_english(
    language: str, claimed: str | None
) -> None:
    chunk = prepare_chunk(UNNAMED[language] * 3, language=claimed)
    assert chunk.language == UNDETERMINED
    assert not applies("language", chunk.language)


@pytest.mark.parametrize("kind", ENGLISH_ALL_THE_SAME)
def test_english_that_is_no_prose_is_not_taken_for_an_unknown_language(kind: str) -> None:
    assert prepare_chunk(ENGLISH_ALL_THE_SAME[kind]).language in {"en", None}
    assert prepare_chunk(ENGLISH_ALL_THE_SAME[kind], language="en").language == "en"


def test_a_page_that_names_its_rare_language_keeps_it() -> None:
    chunk = prepare_chunk(UNNAMED["Swahili"], language="sw")
    assert chunk.language == "sw"

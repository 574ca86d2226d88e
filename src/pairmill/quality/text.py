"""Words, stems and stop words; the prepared view of a text that all checks share.

The stop words are our own lists, folded like every word here: lower case, no apostrophes ("don't"
becomes ``dont``).

Two kinds of script are told apart. Where words are between spaces, a token is a folded word. In
Chinese, Japanese, Thai, Lao, Khmer and Burmese each character is a token of its own, so that every
n-gram of tokens is a character n-gram there, and nothing needs a dictionary.
"""

# ruff: noqa: RUF001 (words of many scripts)
from __future__ import annotations

import re
import string
from dataclasses import dataclass
from functools import cached_property
from operator import add
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "CHARACTERS_PER_WORD",
    "ENGLISH",
    "FUNCTION_WORDS",
    "Prepared",
    "Trigram",
    "content_stem",
    "count_words",
    "find_numbers",
    "is_spaceless",
    "join",
    "key",
    "prepare",
    "same_content",
    "stem",
    "tokens_per_word",
    "words",
]


def _words_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


ENGLISH = _words_of(
    """
    a about above after again against all almost also although always am among an and
    another any anything are arent around as at away back be became because become becomes
    been before being below between both but by came can cannot cant come comes could
    couldnt did didnt do does doesnt doing done dont down due during each either else enough
    etc even ever every everything few first for from further get gets getting give given
    gives go goes going gone got had hadnt has hasnt have havent having he her here hers
    herself him himself his how however i id if ill im in instead into is isnt it itd itll
    its itself ive just keep keeps kind know known last least less let lets like likely look
    made make makes making many may maybe me mean means might mine more most mostly much
    must my myself need needs neither never next no nobody none nor not nothing now of off
    often on once one ones only onto or other others otherwise our ours out over own per
    perhaps put puts quite rather really said same say says see seem seemed seems seen
    several shall she should shouldnt since so some something soon still such take taken
    takes than that thats the their theirs them themselves then there therefore these they
    theyre theyve thing things this those though three through thus to together too took
    toward towards two under unless until up upon us use used uses using usually very via
    want wants was wasnt way ways we well went were werent weve what whatever when where
    whereas whether which while who whom whose why will with within without wont would
    wouldnt yet you youll your youre yours yourself youve
    """
)
"""Words that say little about what a text is about."""

_PLAIN = {
    "en": """the of and to in is that it for was with as on are be this by at from or an which you
        have not but they their its can when has were will what how would there been if more who
        your why does should do a""",
    "de": """der die und das den von zu mit sich des auf ist im dem nicht ein eine als auch es
        werden aus er hat dass sie nach wird bei einer um am sind noch wie einem über so zum kann
        einen oder wenn wir nur ich zur durch""",
    "fr": """le la les des et du un une dans est que pour qui sur pas par au plus ce il sont avec
        ne se cette aux ou en elle comme mais été nous vous leur ses ces entre aussi être fait
        comment pourquoi""",
    "es": """el la los las y del un una que por con para es no se lo al como más su sus pero este
        esta ha son fue entre cuando muy sin sobre también hasta donde desde ser está porque cómo
        en""",
    "it": """il lo la gli le e di che del della un una per con non si da è sono come più anche ma
        nel nella al alla dei delle questo questa ha stato essere dal sul loro perché quando in
        come""",
    "pt": """o os as e do da dos das um uma que em para com não se por mais como mas ao foi são na
        no nas nos pelo pela sua seu ou ser quando muito também já está há entre isso é""",
    "nl": """de het een en van in is dat op te zijn met voor niet aan er om ook als maar door bij
        naar dan nog uit over hij ze wordt worden deze dit die tot kan of we geen waarom hoe""",
    "sv": """och att det som en på är av för med till den inte om har de ett var jag men sig från
        vi så kan när under också efter eller nu där vid hur man skulle""",
    "da": """og at det som en på er af for med til den ikke om har de et var jeg men sig fra vi så
        kan når under også efter eller nu der ved hvordan man skulle blev""",
    "pl": """w i na z do nie się że to jest o jak za od po przez ale dla co są czy tak był który
        która które tym tego jego ich może oraz przy lub być już""",
    "cs": """a se na je že v to s z do o i jako za by ale pro po jsou který která které nebo bylo
        jeho také jak než až není tak od při byl být""",
    "fi": """ja on ei että se oli hän mutta kun ovat joka myös niin kuin tai jos ole sen olla sitä
        mitä vain voi tämä ne siitä ovat kanssa""",
    "ro": """și în de la cu pe un o nu care din este pentru că mai sau se au fost ca sunt prin ce
        dar al ale lui după între această""",
    "tr": """ve bir bu için da de ile ne çok olarak daha gibi kadar olan var ama en değil sonra
        ise her mi o ya nasıl neden""",
    "id": """yang dan di dari untuk dengan ini itu pada adalah tidak dalam akan juga ke oleh atau
        dapat karena ada lebih sebagai telah bagaimana mengapa""",
    "ru": """и в не на что с по это как он к но из за от для же так то было все у был бы или если
        его при только они о где когда почему""",
    "uk": """і в не на що з до це як він та але із за від для же так то було все у був би або якщо
        його при тільки вони є де коли чому""",
    "bg": """и в не на че с по това как той но от за до да се е са или ако при само те като
        които""",
}

FUNCTION_WORDS = {language: _words_of(words) for language, words in _PLAIN.items()}
"""Language code to the words by which a text in it can be known."""


Trigram = tuple[str, str, str]

_ZEROS = bytes.maketrans(string.digits.encode(), b"0" * len(string.digits))
_NUMBER = re.compile(rb"00*(?:[.,:]00*)*")  # begins with one byte, so that the search can leap

_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0dff"  # no word breaks at these
_ONE_SPACELESS = re.compile(f"[{_SPACELESS}]")
_RUN = re.compile(f"([{_SPACELESS}][ {_SPACELESS}]*)")
_HIGH = re.compile("[\u0e00-\U0010ffff]")  # where those scripts begin
_WORD = re.compile(f"[\\w{_MARKS}]+")
_PIECE = re.compile(f"[{_SPACELESS}]+|(?:[^\\W{_SPACELESS}]+|[{_MARKS}]+)+")
_PREFIX = 6  # letters kept of a word of a language we have no stemmer for

CHARACTERS_PER_WORD = {"zh": 2, "ja": 2, "th": 5, "lo": 5, "km": 5, "my": 5}
"""Characters of a script without spaces that make one word, by language."""
_RUN_SCALE = {"zh": 1.6, "ja": 2.0, "th": 5.2, "lo": 5.2, "km": 5.2, "my": 5.2}
_SYLLABIC = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")  # letters, not words
_SYLLABIC_RUN = 3  # characters that say as much as two of Chinese

# Most texts are ASCII, or Latin-1 but for some quotation marks and dashes. Mapping their bytes
# takes a tenth of the time of a pattern, and of mapping characters.
_APOSTROPHES = ("'", "\u2019", "\u02bc")
_BREAKS = tuple("_\u2018\u201c\u201d\u201e\u2013\u2014\u2026\u2022\u2011\u2009\u202f\u2192")
_ASCII = bytes.maketrans(
    (string.ascii_uppercase + string.punctuation).encode(),
    (string.ascii_lowercase + " " * len(string.punctuation)).encode(),
)
_LATIN = bytes(code if chr(code).isalnum() else ord(" ") for code in range(256))


@dataclass(frozen=True)
class Prepared:
    """Prepared view of one text. Rarely needed parts are computed on demand.

    Attributes:
        text: As given.
        words: Folded tokens in order.
        vocabulary: The same, each once.
        language: Two-letter code, or None if unknown.
        spaceless: How many of the words are characters of a script without spaces.
    """

    text: str
    words: tuple[str, ...]
    vocabulary: frozenset[str]
    language: str | None
    spaceless: int

    @cached_property
    def numbers(self) -> Sequence[tuple[int, int]]:
        """Spans of its numbers, from ``find_numbers``."""
        return find_numbers(self.text)

    @cached_property
    def written_numbers(self) -> frozenset[str]:
        """Its numbers of two digits or more, each once, without thousands commas."""
        text = self.text
        found = [text[start:end].replace(",", "") for start, end in self.numbers]
        return frozenset([number for number in found if len(number) > 1])

    @cached_property
    def stems(self) -> Sequence[str]:
        """Stems of its content words as they follow each other, of a script with spaces."""
        if self.language in _STEMMED:
            return list(filter(None, map(_STEMS.__getitem__, self.words)))
        little = FUNCTION_WORDS.get(self.language or "", _NOTHING)
        return [word[:_PREFIX] for word in self.words if word not in little]

    @cached_property
    def content(self) -> frozenset[str]:
        """Stems of the words that carry meaning.

        For scripts without spaces, pairs of neighbouring characters.
        """
        return _mixed_content(self) if self.spaceless else frozenset(self.stems)


def content_stem(word: str) -> str:
    """Return the stem of an English word, "" for one without content."""
    return _STEMS[word]


def words(text: str) -> tuple[str, ...]:
    """Return the folded tokens of a text: without case and apostrophes, split at punctuation."""
    return _split(text)[0]


def prepare(text: str, language: str | None = "en") -> Prepared:
    """Prepare a text in a language (two letters; None: unknown)."""
    tokens, spaceless = _split(text)
    return Prepared(text, tokens, frozenset(tokens), language, spaceless)


def key(text: str) -> str:
    """Normalize case, spacing and punctuation, for comparison of texts."""
    return " ".join(words(text))


def same_content(text: str, language: str | None = "en") -> str:
    """Normalize a sentence, for comparison with sentences of other order or word forms.

    The words' stems in the order of the alphabet, each once, without what English sentences have
    for their form alone. Numbers, negations and the words that tell who did what to whom stay.
    """
    stems = set(words(text))
    if language in _STEMMED:
        stems = {stem(word) or word for word in stems - _FORM}
    return " ".join(sorted(stems))


def join(tokens: Iterable[str]) -> str:
    """One string in which a run of tokens can be looked up, itself joined the same way."""
    return f" {' '.join(tokens)} "


def count_words(prepared: Prepared) -> int:
    """Length in words: two Chinese or Japanese characters count as one, five Thai ones."""
    wide = prepared.spaceless
    if not wide:
        return len(prepared.words)
    each = CHARACTERS_PER_WORD.get(prepared.language or "", 2)
    return len(prepared.words) - wide + -(-wide // each)


def tokens_per_word(prepared: Prepared) -> float:
    """Return how many tokens correspond to one English word, to scale limits on runs of words.

    1 if words are tokens. Measured on parallel text: what 25 words say in English takes some
    40 characters in Chinese and 130 in Thai.
    """
    if 2 * prepared.spaceless <= len(prepared.words):
        return 1.0
    return _RUN_SCALE.get(prepared.language or "", 1.6)


def is_spaceless(token: str) -> bool:
    """Return whether the token is a character of a script that is written without spaces."""
    return _ONE_SPACELESS.match(token) is not None


def _split(text: str) -> tuple[tuple[str, ...], int]:
    """Return the tokens, and how many of them are characters of a script without spaces."""
    if text.isascii():
        return tuple(text.encode().translate(_ASCII, b"'").decode().split()), 0
    folded = text.casefold()
    for mark in _APOSTROPHES:
        folded = folded.replace(mark, "")
    for mark in _BREAKS:
        folded = folded.replace(mark, " ")
    try:
        plain = folded.encode("latin-1")
    except UnicodeEncodeError:
        if _HIGH.search(folded):
            return _split_mixed(folded)
        return tuple(_WORD.findall(folded)), 0
    return tuple(plain.translate(_LATIN).decode("latin-1").split()), 0


def _split_mixed(folded: str) -> tuple[tuple[str, ...], int]:
    tokens: list[str] = []
    spaceless = 0
    for piece in _PIECE.findall(folded):
        if is_spaceless(piece):
            tokens += piece  # each character
            spaceless += len(piece)
        else:
            tokens.append(piece)
    return tuple(tokens), spaceless


def _mixed_content(prepared: Prepared) -> frozenset[str]:
    """Return the content of a text of which at least one word is a character."""
    parts = _RUN.split(" ".join(prepared.words))  # by turns words, and characters with spaces
    spaced = frozenset(" ".join(parts[::2]).split())
    if prepared.language in _STEMMED:
        found = {_STEMS[word] for word in spaced - ENGLISH} | _NOTHING
    else:
        left = spaced - FUNCTION_WORDS.get(prepared.language or "", _NOTHING)
        found = {word[:_PREFIX] for word in left}
    for run in parts[1::2]:
        characters = run[::2]
        if _SYLLABIC.match(characters):
            ends = range(_SYLLABIC_RUN, len(characters) + 1)
            found.update(characters[end - _SYLLABIC_RUN : end] for end in ends)
        else:
            found.update(map(add, characters, characters[1:]))
    return frozenset(found)


_STEMMED = frozenset({"en", None})
_FORM = frozenset(
    {"a", "an", "the", "of", "in", "on", "at", "is", "are", "was", "were", "be", "been", "being"}
    | {"has", "have", "had", "did", "does", "do", "it", "its", "this", "that", "these", "those"}
    | {"which", "who", "and", "also", "there"}
)
_NOTHING = frozenset({""})


_MIN_STEM = 3
_PLURALS = (("sses", "ss"), ("ies", "y"), ("ness", ""), ("us", "us"), ("ss", "ss"), ("s", ""))
_ENDINGS = (
    ("ization", "iz"), ("isation", "is"), ("ation", ""), ("ment", ""), ("ingly", ""), ("edly", ""),
    ("ied", "y"), ("ing", ""), ("ily", "y"), ("ed", ""), ("er", ""), ("ly", ""), ("ive", ""),
    ("ion", ""), ("al", ""),
)  # fmt: skip
_MIN_REST = 4  # letters before an ending; "ring" and "bed" keep theirs


def stem(word: str) -> str:
    """Cut an English word to what its usual forms share; words of a letter or digits to nothing.

    A light cut of our own (plural, then one ending), not Porter's: it only has to bring an answer's
    and a passage's forms of one word together.
    """
    if len(word) <= _MIN_STEM:
        return word if len(word) > 1 and not word.isdigit() else ""
    if not word.isascii() or not word.isalpha():
        return "" if word.isdigit() else word
    for ending, instead in _PLURALS:
        if word.endswith(ending):
            word = word[: len(word) - len(ending)] + instead
            break
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _MIN_REST:
            word = word[: len(word) - len(ending)] + instead
            break
    if len(word) > _MIN_STEM and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]
    if len(word) > _MIN_STEM and word[-1] in "eiy":
        word = word[:-1]
    return word


class _Stems(dict[str, str]):
    """Map of words to stems, "" for words without content; filled on demand, cleared when full."""

    _MOST = 65_536

    def __missing__(self, word: str) -> str:
        if len(self) >= self._MOST:
            self.clear()
        found = self[word] = "" if word in ENGLISH else stem(word)
        return found


_STEMS = _Stems()


def find_numbers(text: str) -> list[tuple[int, int]]:
    """Return start and end of each number: digits, also with ``.``, ``,`` or ``:`` between them.

    Every ASCII digit lies in one of them; digits of other scripts do not count.
    """
    zeros = text.encode("ascii", "replace").translate(_ZEROS)  # one byte per character
    return [found.span() for found in _NUMBER.finditer(zeros)]

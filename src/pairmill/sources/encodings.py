"""Decodes bytes: by byte order mark, as UTF-8, as declared, else by detection.

Labels are interpreted as browsers do (WHATWG Encoding Standard): ``gb2312`` is read as GB 18030,
``iso-8859-1`` as Windows-1252, because that is how pages with these labels are really encoded.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from typing import NamedTuple

__all__ = ["Decoded", "declared_in_page", "decode", "fix_mojibake", "sniff_utf16"]

MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_MEANT = {
    "gb2312": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "gb_2312-80": "gb18030",
    "euc-cn": "gb18030", "iso-8859-1": "cp1252", "latin1": "cp1252", "latin-1": "cp1252",
    "ascii": "cp1252", "us-ascii": "cp1252", "iso-8859-9": "cp1254", "iso-8859-11": "cp874",
    "tis-620": "cp874", "shift_jis": "cp932", "shift-jis": "cp932", "sjis": "cp932",
    "x-sjis": "cp932", "windows-31j": "cp932", "ks_c_5601-1987": "cp949", "euc-kr": "cp949",
    "big5": "big5hkscs", "x-x-big5": "big5hkscs", "utf8": "utf-8", "unicode": "utf-8",
    "iso-8859-8-i": "iso-8859-8", "x-user-defined": "cp1252", "x-mac-cyrillic": "mac_cyrillic",
}  # fmt: skip
_SWITCHES = (
    (re.compile(rb"\x1b\$[@B]"), "iso2022_jp_ext"),
    (re.compile(rb"\x1b\$\)C"), "iso2022_kr"),
)
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([\w.:-]{2,40})", re.IGNORECASE)
_XML = re.compile(rb"<\?xml[^>]{0,200}encoding\s*=\s*[\"']([\w.:-]{2,40})", re.IGNORECASE)
_DECLARED_WITHIN = 4096
_FEW = (
    0.002  # of the characters: a page with so few broken ones is in the encoding that it declares
)
_SAMPLE_BYTES = 2**18  # characters examined by a detector
_LEAST_BYTES = 24  # shorter texts are not conclusive
_MOST_CHAOS = 0.3
_LEAST_SHAPE = 0.5
_CJK_BLOCK = 0x2E
_WORDS = re.compile(r"[^\W\d_]+")
_MARKS_OF_TEXT = "«»“”„‘’‚–—…•·°§©®™€£¥ \u00a0¿¡、。，：；？！（）「」『』《》【】・ー～"  # noqa: RUF001
_WESTERN = ("cp1252",)  # most of what declares nothing, or something wrong
_LIKELY = [  # encodings in use on the web; more of them only add wrong guesses
    "cp1251", "koi8_r", "cp1252", "cp1250", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257",
    "cp1258", "cp874", "gb18030", "big5", "cp932", "euc_jp", "cp949", "cp866",
]  # fmt: skip
_REPLACED = "\ufffd"
# First and continuation bytes of UTF-8 characters, decoded as Windows-1252.
_MISREAD = re.compile(
    "[\u00c2-\u00f4][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc"
    "\u2013\u2014\u2018-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]"
)
_COMMON_BLOCKS = (0x00, 0x20, 0x30, 0xFF)  # ASCII and Latin-1, punctuation, kana, full width
_ALPHABETS = (0x03, 0x04, 0x05, 0x06, 0x09, 0x0E, 0x10)  # Greek, Cyrillic, Hebrew, Arabic ...
_CONTROLS = bytes({*range(32)} - {*b"\t\n\v\f\r\x1b"})
_LEAST_CONTROLS = 0.02  # of the bytes: halves of characters look like control characters
_LEAST_PLAIN = 0.95
# Letters beyond ASCII that a language uses, by the code page that it was written in.
_LETTERS = tuple(
    map(
        frozenset,
        (
            "àâçèéêëîïôùûüœæ", "äöüß", "áéíñóúü", "àáâãçéêíóôõú", "àèéìòù", "åäöéæø", "éëïóöü",
            "ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "čćđšž", "ăâîșțşţ",
            "ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž", "çğ\u0131öşüâîi", "áðéíóúýþæö",
        ),
    )
)  # fmt: skip


class Decoded(NamedTuple):
    """A text, its encoding, and the number of undecodable places."""

    text: str
    encoding: str
    replaced: int = 0


def decode(  # noqa: C901, PLR0911 (a ladder of guesses, the surest first)
    data: bytes, declared: str = ""
) -> Decoded | None:
    """Return the text; None if its encoding cannot be determined.

    Valid UTF-8 is UTF-8 whatever is declared. A declared encoding is used if it fits; else it is
    detected, and UTF-8 with a few broken places stays UTF-8.
    """
    for mark, encoding in MARKS:
        if data.startswith(mark):
            if encoding == "utf-8":
                data, declared = data[len(mark) :], "utf-8"
                break
            return _replacing(data, encoding)
    wide = sniff_utf16(data[:_DECLARED_WITHIN])
    if wide:
        return _replacing(data, wide)
    if b"\x1b" in data and (switched := _switched(data)):
        return switched
    try:
        return Decoded(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        pass
    named = _codec(declared)
    if named and named != "utf-8":
        try:
            return Decoded(data.decode(named), named)
        except UnicodeDecodeError:
            known = _replacing(data, named)
            if known.replaced <= _FEW * len(known.text):
                return known
    as_utf8 = _replacing(data, "utf-8")
    multibyte = sum(
        1 for mark in as_utf8.text[:_SAMPLE_BYTES] if mark > "\x7f" and mark != _REPLACED
    )
    if as_utf8.replaced <= _FEW * len(as_utf8.text) and multibyte >= as_utf8.replaced:
        return as_utf8
    found = _detect(data)
    if found:
        return found
    if as_utf8.replaced <= max(1, multibyte):
        return as_utf8
    return _as_western(data)


def declared_in_page(head: bytes) -> str:
    """Return the encoding that a page's first bytes name; empty if they name none."""
    match = _CHARSET.search(head[:_DECLARED_WITHIN]) or _XML.match(head.lstrip()[:300])
    return match[1].decode("ascii") if match else ""


def fix_mojibake(text: str) -> str:
    """Repair a UTF-8 text that was decoded as a single-byte encoding (mojibake).

    Only if that explains the whole text: a text that merely shows such characters, next to others
    that are correct, is left alone.
    """
    if text.isascii() or not _MISREAD.search(text):
        return text
    from ftfy import TextFixerConfig, fix_encoding  # noqa: PLC0415 (rarely wanted)

    sure = TextFixerConfig(decode_inconsistent_utf8=False, replace_lossy_sequences=False)
    return fix_encoding(text, sure)


def sniff_utf16(head: bytes) -> str:
    """Detect UTF-16 without a byte order mark by its zero bytes or its letters; empty: it is not.

    In scripts without zero bytes, other bytes occasionally look like control characters.
    """
    pairs = len(head) // 2
    if pairs < _LEAST_BYTES // 2:
        return ""
    even, odd = head[0 : 2 * pairs : 2].count(0), head[1 : 2 * pairs : 2].count(0)
    if odd > 0.4 * pairs and even < 0.02 * pairs + 1:
        return "utf-16-le"
    if even > 0.4 * pairs and odd < 0.02 * pairs + 1:
        return "utf-16-be"
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls < _LEAST_CONTROLS * len(head):  # text in any other encoding has none
        return ""
    shares = {wide: _plain_share(head[: 2 * pairs], wide) for wide in ("utf-16-le", "utf-16-be")}
    best = max(shares, key=lambda wide: shares[wide])
    return best if shares[best] > max(_LEAST_PLAIN, min(shares.values())) else ""


def _plain_share(data: bytes, encoding: str) -> float:
    """Return the share of characters that belong to text of one language; 0 if it is invalid."""
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if error.start < len(data) - 4:
            return 0.0
        text = data.decode(encoding, "ignore")
    blocks = Counter(ord(mark) >> 8 for mark in text)
    han = sum(count for block, count in blocks.items() if 0x4E <= block <= 0x9F)  # noqa: PLR2004
    hangul = sum(count for block, count in blocks.items() if 0xAC <= block <= 0xD7)  # noqa: PLR2004
    small = max((blocks[block] for block in _ALPHABETS), default=0)
    common = sum(blocks[block] for block in _COMMON_BLOCKS)
    return (max(han, hangul, small) + common) / max(1, len(text))


def _replacing(data: bytes, encoding: str) -> Decoded:
    text = data.decode(encoding, "replace")
    return Decoded(text, encoding, text.count(_REPLACED) - data.count(b"\xef\xbf\xbd"))


def _switched(data: bytes) -> Decoded | None:
    """Decode a text that switches character sets by escapes and is all ASCII bytes."""
    for escape, encoding in _SWITCHES:
        if escape.search(data):
            try:
                return Decoded(data.decode(encoding), encoding)
            except UnicodeDecodeError:
                continue
    return None


def _codec(label: str) -> str:
    name = label.strip().casefold()
    name = _MEANT.get(name, name)
    try:
        b"".decode(name)  # refuses codecs that are not of text, such as base64
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        return ""


def _detect(data: bytes) -> Decoded | None:
    """Choose among the encodings that charset-normalizer considers possible, or None.

    It judges by noise, and often confuses single-byte encodings for the same script. Between those,
    the shape of the words decides.
    """
    if len(data) < _LEAST_BYTES:
        return None
    try:
        from charset_normalizer import from_bytes  # noqa: PLC0415 (rarely wanted)
    except ImportError:
        return None
    sample = data[:_SAMPLE_BYTES]
    found = from_bytes(sample, cp_isolation=_LIKELY, threshold=_MOST_CHAOS, enable_fallback=False)
    codecs_ = [codec for match in found for codec in (match.encoding, *match.could_be_from_charset)]
    shaped = [
        (_shape(sample, codec), _fit(sample, codec), -at, codec)
        for at, codec in enumerate(dict.fromkeys((*_WESTERN, *codecs_)))
    ]
    best, _, _, codec = max(
        shaped, default=(0.0, 0.0, 0, ""), key=lambda one: (one[0] + one[1], one[2])
    )
    if best < _LEAST_SHAPE:
        return None
    decoded = _replacing(data, codec)
    return decoded if decoded.replaced <= _FEW * len(decoded.text) else None


def _shape(sample: bytes, codec: str) -> float:
    """Return the share of non-ASCII words that are plausibly spelled.

    That is: in one script and in lower case, with at most an initial capital.
    """
    text = sample.decode(codec, "ignore")
    words = [word for word in _WORDS.findall(text) if not word.isascii()]
    if not words:
        return 0.0
    good = 0
    for word in words:
        rest = word[1:]
        blocks = {ord(mark) >> 8 for mark in word if mark > "\u02ff"}
        is_mixed = bool(blocks) and any(mark < "\u0300" for mark in word)
        is_one = len(blocks) <= 1 or min(blocks) >= _CJK_BLOCK
        if is_one and not is_mixed and not any(map(str.isupper, rest)):
            good += 1
    marks = sum(
        mark > "\x7f" and not mark.isalnum() and mark not in _MARKS_OF_TEXT for mark in text
    )
    high = sum(mark > "\x7f" for mark in text)
    return good / len(words) - marks / max(1, high)


def _fit(sample: bytes, codec: str) -> float:
    """Return the share of non-ASCII Latin letters that one language uses; 1 if there are none."""
    text = sample.decode(codec, "ignore").lower()
    letters = [mark for mark in text if "\x7f" < mark < "\u0250" and mark.isalpha()]
    if not letters:
        return 1.0
    counts = Counter(letters)
    return max(sum(counts[it] for it in language) for language in _LETTERS) / len(letters)


def _as_western(data: bytes) -> Decoded | None:
    """Decode as Windows-1252, if there are few non-ASCII bytes and these are letters."""
    high = sum(byte > 0x7F for byte in data)  # noqa: PLR2004
    controls = sum(byte < 0x20 and byte not in (9, 10, 12, 13) for byte in data)  # noqa: PLR2004
    if controls or high > 0.3 * len(data):
        return None
    try:
        return Decoded(data.decode("cp1252"), "cp1252")
    except UnicodeDecodeError:
        return None

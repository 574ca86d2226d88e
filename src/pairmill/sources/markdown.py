"""Markdown as sites write it: front matter, Liquid, shortcodes, components, raw HTML.

Code is never changed: neither fenced blocks nor spans between backticks.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

from pairmill.sources.fences import fenced_ranges
from pairmill.yaml_files import load_yaml

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "FrontMatter",
    "convert_admonitions",
    "first_heading",
    "imports_components",
    "resolve_templates",
    "split_front_matter",
    "was_cut_alike",
]

_YAML = re.compile(
    r"\ufeff?---[ \t]*(?:\r\n|\r|\n)(.*?)(?:\r\n|\r|\n)(?:---|\.\.\.)[ \t]*(?:\r\n|\r|\n|\Z)",
    re.DOTALL,
)
_TOML = re.compile(r"\ufeff?\+\+\+[ \t]*\r?\n(.*?)\r?\n\+\+\+[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_PANDOC = re.compile(  # a title block: title, authors, date
    r"\ufeff?(%[ \t][^\r\n]*)\r?\n(?:(%[^\r\n]*)\r?\n)?(?:(%[^\r\n]*)\r?\n)?(?=\r?\n|\Z)"
)
_FORMER = re.compile(r"---[ \t]*\r?\n((?:[^\n]*\n){1,60}?)---[ \t]*(?:\r?\n|\Z)")
_MOST_CHARS = 100_000  # of front matter that is parsed
_ALIAS = re.compile(r"(?:^|[\s\[,:-])\*\w", re.MULTILINE)  # by them few lines grow without bound
_FIELD = re.compile(
    r"(title|author|url|link|source|language|lang)[ \t]*:[ \t]*(.*\S)", re.IGNORECASE
)
_KEY = re.compile(r"[\w.@$:/-]+")  # with spaces it is a sentence
_FIRST_HEADING = re.compile(r"\s*#[ \t]+([^\n]+)")
_URLS = ("url", "link", "source", "canonical_url", "canonicalurl", "original_url", "permalink")

# Of templates: a mark reaches no further than this, and a text with more marks than that, or as
# long as that, is left as it is. So the time is bounded whatever a text holds.
_MARKS = ("{%", "{{", "<", "{:", "{#", ":::", "{/*")
_MOST_MARKS = 20_000
_MOST_RESOLVED_CHARS = 4 * 2**20
_REACH = "{0,2000}?"
_TAG_NAMES = (
    "a|abbr|address|article|aside|b|blockquote|center|cite|dd|del|details|dfn|div|dl|dt|em"
    "|figcaption|figure|font|footer|h[1-6]|header|hr|i|iframe|img|ins|li|main|mark|nav|ol|p|picture"
    "|q|s|script|section|small|source|span|strong|style|sub|summary|sup|table|tbody|td|tfoot|th"
    "|thead|tr|u|ul|video|audio|input|button|svg|path"
)
_SPAN = re.compile(r"(?<!`)(`{1,4})(?!`)[^\n]{0,1000}?(?<!`)\1(?!`)")
_HIGHLIGHT = re.compile(
    r"\{%-?\s*(?:highlight|code_?block)\s+([\w+#.-]*)[^%\n]*%\}\n?(.{0,50000}?)"
    r"\{%-?\s*end(?:highlight|code_?block)\s*-?%\}"
    r"|\{\{[<%]\s*(?:highlight|code)\s+\"?([\w+#.-]*)\"?[^>%\n]*[>%]\}\}\n?(.{0,50000}?)"
    r"\{\{[<%]\s*/\s*(?:highlight|code)\s*[>%]\}\}",
    re.DOTALL,
)
_RAW = re.compile(r"\{%-?\s*raw\s*-?%\}(.{0,50000}?)\{%-?\s*endraw\s*-?%\}", re.DOTALL)
_COMMENT = re.compile(
    r"\{%-?\s*comment\s*-?%\}.{0,20000}?\{%-?\s*endcomment\s*-?%\}|<!--.{0,20000}?-->"
    r"|\{/\*.{0,20000}?\*/\}",
    re.DOTALL,
)
_LINK_TO_TEMPLATE = re.compile(
    r"(?<!!)\[([^\[\]\n]{0,500})\]\((?=[^()\n]{0,500}\{[{%])(?:[^()\n]|\([^()\n]{0,300}\)){0,500}\)"
)
_IMAGE_OF_TEMPLATE = re.compile(
    r"!\[([^\[\]\n]{0,500})\]\([^\n)]{0,500}?\{[{%][^\n]{0,500}?[}%]\}[^\n)]{0,500}\)"
)
_ESCAPED_SHORTCODE = re.compile(rf"\{{\{{([<%])/\*(.{_REACH})\*/([>%])\}}\}}", re.DOTALL)
_FIGURE = re.compile(rf"\{{\{{[<%]\s*(?:figure|img|image)\s([^}}]{_REACH})[>%]\}}\}}")
_CAPTION = re.compile(r"\b(?:caption|title)\s*=\s*\"([^\"]+)\"")
_SHORTCODE = re.compile(rf"\{{\{{[<%].{_REACH}[>%]\}}\}}", re.DOTALL)
_LIQUID_TAG = re.compile(rf"\{{%.{_REACH}%\}}", re.DOTALL)
_LIQUID_VALUE = re.compile(
    r"\{\{-?\s*((?:page|frontmatter|\.?Params)?\.?[tT]itle)?[^{}\n]{0,300}?-?\}\}"
)
_KRAMDOWN = re.compile(
    r"^\{:[^}\n]{0,300}\}[ \t]*\n?|(?<=\S)\{:[^}\n]{0,300}\}"
    r"|(?<=\S)[ \t]{1,20}\{#[\w-]{1,100}\}[ \t]*$",
    re.MULTILINE,
)
_COMPONENT_NAME = re.compile(r"[A-Z]\w*")
_ELEMENT_NAME = re.compile(r"<([A-Z]\w*)(?=[\s/>])")
_IMPORTED = re.compile(
    r"^import ([^\n;'\"]{1,400}) from ['\"][^'\"\n]+['\"];?[ \t]*$", re.MULTILINE
)
_IMPORT = re.compile(
    r"^import\s(?:[^\n;]|\n(?!\n)){0,2000}?[\"'][^\"'\n]{1,300}[\"'];?[ \t]*\n?"
    r"|^export\s+(?:const|let|var|default|function|async)\b(?:[^\n]|\n(?!\n)){0,20000}+\n?",
    re.MULTILINE,
)
_COMPONENT = re.compile(
    r"(?<!\w)<[A-Z][\w.]{0,60}(?:\s(?:[^<>{}\"']|\"[^\"]{0,500}\"|'[^']{0,500}'"
    r"|\{(?:[^{}]|\{[^{}]{0,500}\}){0,500}\}){0,500})?/?>|</(?:[A-Z][\w.]{0,60})?>|<>"
)
_EXPRESSION = re.compile(r"^[ \t]*\{[^{}\n]{1,300}\}[ \t]*$", re.MULTILINE)
_DIRECTIVE = re.compile(
    r"^[ \t]*:{3,}[ \t]*(?:\w[\w-]*[ \t]*(?:\[([^\]\n]*)\]|([^\n{\[]*))?(?:\{[^}\n]*\})?)?[ \t]*$",
    re.MULTILINE,
)
_BOX = re.compile(
    r"^(?:(?:!!!|\?\?\?\+?)[ \t]+([A-Za-z][\w -]*?)|===[!+]?(?=[ \t]+\"))"
    r"(?:[ \t]+\"([^\"\n]*)\")?[ \t]*$",
    re.MULTILINE,
)
_BOX_INDENT = 4
_FENCE_OPENS = re.compile(r"[ \t]*(`{3,}(?!.*`)|~{3,})")
_BREAK = re.compile(r"<br\s*/?>[ \t]*\n?", re.IGNORECASE)
_HTML_CODE = re.compile(r"<(code|kbd|samp)>([^<>`\n]{1,500})</\1>", re.IGNORECASE)
_HTML_PRE = re.compile(
    r"<pre(?:\s[^>]{0,300})?>(?:<code(?:\s[^>]{0,300})?>)?\n?(.{0,50000}?)\n?(?:</code>)?</pre>",
    re.IGNORECASE | re.DOTALL,
)
_HTML_TAG = re.compile(
    rf"</?(?:{_TAG_NAMES})(?:\s(?:[^<>\"']|\"[^\"]{{0,500}}\"|'[^']{{0,500}}'){{0,500}})?/?>",
    re.IGNORECASE,
)
_MARKER = "\ue000"  # placeholder for text set aside; a private-use character that no text contains
_MARKED = re.compile(rf"{_MARKER}(\d+){_MARKER}")


class FrontMatter(NamedTuple):
    """Metadata from front matter."""

    title: str | None = None
    author: str | None = None
    url: str | None = None
    language: str | None = None
    date: str | None = None
    id: str | None = None
    license: str | None = None


def split_front_matter(text: str, *, json_too: bool = False) -> tuple[FrontMatter, str]:
    """Return the metadata of a YAML, TOML or (in Markdown) JSON block at the top, and the rest.

    The block is removed if it is a mapping; text between two horizontal rules stays.
    """
    if match := _YAML.match(text):
        known = _from_yaml(match[1])
    elif match := _TOML.match(text):
        known = _from_toml(match[1])
    elif json_too and text.startswith("{"):
        return _split_json(text)
    elif json_too and (match := _PANDOC.match(text)):
        title, author, date = (_line(one and one[1:]) for one in match.groups())
        return FrontMatter(title, author and author.replace(";", ","), date=date), text[
            match.end() :
        ]
    else:
        return FrontMatter(), text
    return (FrontMatter(), text) if known is None else (known, text[match.end() :])


def was_cut_alike(text: str, rest: str) -> bool:
    """Return whether version 1 of the reader would have cut the same front matter."""
    match = _FORMER.match(text)
    cut = match is not None and any(map(_FIELD.match, match[1].split("\n")))
    return rest == (text[match.end() :] if match and cut else text)


def first_heading(text: str) -> str | None:
    """Return the title that a text begins with, or None."""
    heading = _FIRST_HEADING.match(text)
    return heading[1].rstrip("# \r\t") if heading else None


def resolve_templates(text: str, facts: FrontMatter, *, is_mdx: bool = False) -> str:
    """Remove the markup of site generators; the text inside it stays."""
    marks = sum(map(text.count, _MARKS))
    if (not marks and not is_mdx) or marks > _MOST_MARKS or len(text) > _MOST_RESOLVED_CHARS:
        return text
    if _MARKER in text:
        text = text.replace(_MARKER, "")
    aside: list[str] = []

    def put_aside(code: str) -> str:
        aside.append(code)
        return f"{_MARKER}{len(aside) - 1}{_MARKER}"

    if "{%" in text or "{{" in text:
        text = _HIGHLIGHT.sub(
            lambda it: put_aside(
                f"```{it[1] or it[3] or ''}\n{(it[2] or it[4] or '').strip(chr(10))}\n```"
            ),
            text,
        )
        text = _RAW.sub(lambda it: put_aside(it[1]), text)
    pieces, at = [], 0
    for start, end in fenced_ranges(text):
        pieces += [text[at:start], put_aside(text[start:end])]
        at = end
    text = "".join((*pieces, text[at:]))
    text = _HTML_PRE.sub(lambda it: put_aside(f"```\n{_unescape(it[1])}\n```"), text)
    text = _SPAN.sub(lambda it: put_aside(it[0]), text)
    text = _without_marks(text, facts, put_aside, is_mdx=is_mdx)
    while _MARKER in text:
        restored = _MARKED.sub(lambda it: aside[int(it[1])], text)
        if restored == text:
            break
        text = restored
    return text


def imports_components(text: str) -> bool:
    """Return whether Markdown is really MDX: it imports the elements that it uses."""
    if "import " not in text or "from" not in text or len(text) > _MOST_RESOLVED_CHARS:
        return False
    pieces, at = [], 0
    for start, end in fenced_ranges(text):
        pieces.append(text[at:start])
        at = end
    outside = "".join((*pieces, text[at:]))
    imported = {
        name for names in _IMPORTED.findall(outside) for name in _COMPONENT_NAME.findall(names)
    }
    return not imported.isdisjoint(_ELEMENT_NAME.findall(outside))


def convert_admonitions(text: str) -> str:
    """Convert boxes and tabs of MkDocs to plain Markdown: title, then text, not indented.

    For example ``!!! note "Title"`` above lines indented by four spaces, which may hold code.
    """
    if not _BOX.search(text):
        return text
    lines: list[str] = []
    fence = ""
    depth = 0  # how many boxes are open
    for line in text.split("\n"):
        while depth and line.strip() and not line.startswith(" " * _BOX_INDENT * depth):
            depth -= 1
        bare = line[_BOX_INDENT * depth :] if line.strip() else line
        if fence:
            if bare.strip().startswith(fence) and not bare.strip().strip(fence[0]):
                fence = ""
        elif opened := _FENCE_OPENS.match(bare):
            fence = opened[1]
        elif box := _BOX.match(bare):
            depth += 1
            title = box[2] if box[2] is not None else (box[1] or "").split(" ")[0].capitalize()
            lines.extend((f"**{title}**", "") if title else ())
            continue
        lines.append(bare)
    return "\n".join(lines)


def _without_marks(
    text: str, facts: FrontMatter, put_aside: Callable[[str], str], *, is_mdx: bool
) -> str:
    text = _COMMENT.sub("", text)
    if "{%" in text or "{{" in text:
        text = _ESCAPED_SHORTCODE.sub(
            lambda it: put_aside(f"`{{{{{it[1]}{it[2]}{it[3]}}}}}`"), text
        )
        text = _resolve_liquid(text, facts)
    if is_mdx:
        text = _EXPRESSION.sub("", _COMPONENT.sub("", _IMPORT.sub("", text)))
    if ":::" in text:
        text = _DIRECTIVE.sub(_directive, text)
    text = _KRAMDOWN.sub("", text)
    if "<" in text:
        text = _HTML_CODE.sub(lambda it: put_aside(f"`{_unescape(it[2])}`"), text)
        text = _HTML_TAG.sub("", _BREAK.sub("\n", text))
    return text


def _resolve_liquid(text: str, facts: FrontMatter) -> str:
    text = _IMAGE_OF_TEMPLATE.sub(r"\1", text)
    text = _LINK_TO_TEMPLATE.sub(r"\1", text)
    text = _FIGURE.sub(lambda it: " ".join(_CAPTION.findall(it[1])[:1]), text)
    text = _LIQUID_TAG.sub("", _SHORTCODE.sub("", text))
    return _LIQUID_VALUE.sub(lambda it: (facts.title or "") if it[1] else "", text)


def _directive(match: re.Match[str]) -> str:
    title = (match[1] or match[2] or "").strip()
    return f"**{title}**\n" if title else ""


def _unescape(code: str) -> str:
    code = re.sub(r"</?[a-z][^<>]*>", "", code)
    return (
        code.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
    )


def _from_yaml(block: str) -> FrontMatter | None:
    block = block.replace("\r\n", "\n").replace("\r", "\n")
    if len(block) > _MOST_CHARS or _ALIAS.search(block):
        return _from_lines(block)
    try:
        data = load_yaml(block)
    except ValueError:
        return _from_lines(block)
    if data is None:
        return FrontMatter() if not block.strip() or block.lstrip().startswith("#") else None
    is_mapping = isinstance(data, dict) and all(_KEY.fullmatch(str(key)) for key in data)
    return _facts(data) if is_mapping else None


def _from_lines(block: str) -> FrontMatter | None:
    """Read ``name: value`` lines of a block that is not YAML; None if it has no known name."""
    known: dict[str, str] = {}
    for line in block.split("\n"):
        if field := _FIELD.match(line):
            known.setdefault(field[1].casefold(), field[2].strip("\"'"))
    return _facts(known) if known else None


def _from_toml(block: str) -> FrontMatter | None:
    try:
        return _facts(tomllib.loads(block.replace("\r\n", "\n")))
    except (tomllib.TOMLDecodeError, RecursionError):
        return None


def _split_json(text: str) -> tuple[FrontMatter, str]:
    try:
        data, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return FrontMatter(), text
    rest = text[end:]
    if not isinstance(data, dict) or (rest and not rest.startswith(("\n", "\r"))):
        return FrontMatter(), text
    return _facts(data), rest.lstrip("\r\n")


def _facts(data: dict[Any, Any]) -> FrontMatter:
    fields = {str(name).casefold(): value for name, value in data.items()}

    def first(*names: str, of: Callable[[Any], str | None] = _line) -> str | None:
        return next((found for name in names if (found := of(fields.get(name)))), None)

    url = first(*_URLS)
    return FrontMatter(
        title=first("title", "headline", "linktitle"),
        author=first("author", "authors", "byline", of=_people),
        url=url if url and not url.startswith(("/", ".")) else None,
        language=first("language", "lang", "locale"),
        date=first("date", "published", "pubdate"),
        license=first("license", "licence", "rights"),
    )


def _line(value: Any) -> str | None:
    if value is None or isinstance(value, (dict, list, bool)):
        return None
    return " ".join(str(value).split()) or None


def _people(value: Any) -> str | None:
    if isinstance(value, dict):
        return _line(value.get("name") or value.get("title"))
    if isinstance(value, list):
        names = [name for one in value if (name := _people(one))]
        return ", ".join(names) or None
    return _line(value)

"""Markup other than Markdown: reStructuredText, AsciiDoc, LaTeX, MediaWiki, notebooks.

Each is converted to Markdown line by line: headings, code with its language, lists; instructions
for a renderer are removed. Code is copied unchanged, without the indentation that marks it.
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.records import Document, digest
from pairmill.sources.characters import strip_surrogates
from pairmill.sources.text import decode_whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.sources.base import Documents, Opener

__all__ = ["read_asciidoc", "read_latex", "read_notebook", "read_rst", "wikitext"]

_RULE = re.compile(r"([=\-~^\"'`#*+.:_<>])\1{2,}[ \t]*")
_LITERAL = re.compile(
    r"\.\. (?:code-block|code|sourcecode|highlight|parsed-literal|prompt|ipython)::[ \t]*"
    r"([\w+#.-]*)"
)
_DROPPED = re.compile(
    r"\.\. (?:image|figure|toctree|contents|include|raw|index|module|currentmodule|meta|automodule"
    r"|autoclass|autofunction|_[^:]+:|\|[^|]+\||highlight|default-role|role|only|tabularcolumns"
    r"|sectionauthor|moduleauthor|rubric|literalinclude|csv-table|replace|unicode)\b"
)
_DIRECTIVE = re.compile(r"\.\. ([\w:-]+)::[ \t]*(.*)")
_ROLE = re.compile(r":[\w:+.-]+:`(?:[!~])?([^`<]*?)(?:\s*<[^`>]*>)?`")
_RST_LINK = re.compile(
    r"`([^`<\n]+?)\s*<[^`>\n]+>`__?|`([^`\n]+)`__?(?!`)|\b(\w[\w.-]*\w)_(?=[\s,.;:)])"
)
_RST_CODE = re.compile(r"``(.+?)``")
_SUBSTITUTION = re.compile(r"\|([^|\n]{1,40})\|_?")


def rst_to_markdown(text: str) -> str:
    """Return reStructuredText as Markdown."""
    lines = text.replace("\t", "        ").split("\n")
    out: list[str] = []
    levels: dict[str, int] = {}
    at = 0
    while at < len(lines):
        line = lines[at]
        follower = lines[at + 1] if at + 1 < len(lines) else ""
        if _is_title(lines, at):
            over = bool(_RULE.fullmatch(line))
            title, rule = (follower, line) if over else (line, follower)
            level = levels.setdefault(f"{rule[0]}{over}", len(levels) + 1)
            out += ["", f"{'#' * min(level, 6)} {_rst_inline(title.strip())}", ""]
            at += 3 if over else 2
            continue
        literal = _LITERAL.match(line.strip())
        if literal and not line.strip().startswith(".. highlight"):
            at = _copy_block(lines, at + 1, _indent(line), out, literal[1], skip_options=True)
            continue
        if line.rstrip().endswith("::") and not line.lstrip().startswith(".."):
            said = line.rstrip()[:-2].rstrip()
            if said:
                out.append(_rst_inline(f"{said}:"))
            at = _copy_block(lines, at + 1, _indent(line), out, "")
            continue
        if _DROPPED.match(line.strip()) or (line.startswith("..") and not _DIRECTIVE.match(line)):
            at = _skip_block(lines, at + 1, _indent(line))
            continue
        directive = _DIRECTIVE.match(line.strip())
        if directive:
            out.append(_rst_inline(directive[2]))
            at = _skip_options(lines, at + 1)
            continue
        if not re.fullmatch(r"\s*:[\w -]+:(?:\s.*)?", line) or line.strip().startswith(":param"):
            out.append(_rst_inline(line))
        at += 1
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip("\n")


def _is_title(lines: list[str], at: int) -> bool:
    line = lines[at]
    under = lines[at + 1] if at + 1 < len(lines) else ""
    if _RULE.fullmatch(line) and at + 2 < len(lines):
        last = lines[at + 2]
        return bool(under.strip()) and last.rstrip() == line.rstrip()
    if not line.strip() or line[0].isspace() or not _RULE.fullmatch(under):
        return False
    return len(under.rstrip()) >= len(line.rstrip()) and not _RULE.fullmatch(line)


def _rst_inline(line: str) -> str:
    line = _RST_CODE.sub(lambda it: f"`{it[1]}`" if "`" not in it[1] else f"`` {it[1]} ``", line)
    if "`" in line or "_" in line:
        line = _ROLE.sub(r"`\1`", line)
        line = _RST_LINK.sub(
            lambda it: it[1] or (f"`{it[2]}`" if it[0][-1] != "_" else it[2]) or it[3], line
        )
    return (
        _SUBSTITUTION.sub(r"\1", line)
        if "|" in line and not line.lstrip().startswith("|")
        else line
    )


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _skip_options(lines: list[str], at: int) -> int:
    while at < len(lines) and re.match(r"\s+:[\w-]+:", lines[at]):
        at += 1
    return at


def _skip_block(lines: list[str], at: int, indent: int) -> int:
    """Return the line at which an indented block ends."""
    while at < len(lines) and (not lines[at].strip() or _indent(lines[at]) > indent):
        at += 1
    return at


def _copy_block(
    lines: list[str],
    at: int,
    indent: int,
    out: list[str],
    language: str,
    *,
    skip_options: bool = False,
) -> int:
    """Copy an indented block as fenced code; return the line at which it ends."""
    if skip_options:
        at = _skip_options(lines, at)
    end = _skip_block(lines, at, indent)
    code = textwrap.dedent("\n".join(lines[at:end])).strip("\n")
    if code.strip():
        out += ["", f"```{language}", code, "```", ""]
    return end


_ADOC_HEADING = re.compile(r"(={1,6})[ \t]+(\S.*)")
_ADOC_SOURCE = re.compile(r"\[(?:source|listing|,)?(?:%[\w,]+)?(?:,[ \t]*)?([\w+#.-]*)[^\]]*\]")
_ADOC_FENCE = re.compile(r"(-{4,}|\.{4,}|`{3,})([\w+#.-]*)[ \t]*")
_ADOC_LINK = re.compile(
    r"(?:link:|xref:|https?://)[^\s\[\]]+\[([^\]\n]*)\]|<<[^,>\n]+,\s*([^>\n]+)>>|<<([^>\n]+)>>"
)
_ADOC_DROPPED = re.compile(
    r"(?::[!\w-]+:.*|(?:image|include|toc|ifdef|ifndef|endif|video|audio)::.*|//.*|\[\[.*\]\]|'{3,}|<{3})"
)
_ADOC_BLOCK = re.compile(r"(?:={4,}|\*{4,}|_{4,}|--|\+|\|={3,})[ \t]*")
_ADOC_LIST = re.compile(r"([*.-]{1,5})[ \t]+(?=\S)")


def asciidoc_to_markdown(text: str) -> str:  # noqa: C901 (a table of lines)
    """Return AsciiDoc as Markdown."""
    out: list[str] = []
    language, fence = "", ""
    for line in text.split("\n"):
        if fence:
            if line.rstrip() == fence:
                out.append("```")
                fence = ""
            else:
                out.append(line)
        elif opening := _ADOC_FENCE.fullmatch(line):
            fence = opening[1]
            out += ["", f"```{language or opening[2]}"]
            language = ""
        elif heading := _ADOC_HEADING.fullmatch(line.rstrip()):
            out.append(f"{'#' * len(heading[1])} {_adoc_inline(heading[2])}")
        elif line.startswith("[") and (source := _ADOC_SOURCE.fullmatch(line.rstrip())):
            language = source[1] if line.startswith(("[source", "[,")) else ""
        elif not (_ADOC_DROPPED.fullmatch(line) or _ADOC_BLOCK.fullmatch(line)):
            if item := _ADOC_LIST.match(line):
                mark = "1. " if item[1][0] == "." else "- "
                line = "  " * (len(item[1]) - 1) + mark + line[item.end() :]  # noqa: PLW2901
            elif line.startswith(".") and len(line) > 1 and line[1] not in " .":
                line = line[1:]  # noqa: PLW2901 (a block's title)
            out.append(_adoc_inline(line))
    if fence:
        out.append("```")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip("\n")


def _adoc_inline(line: str) -> str:
    return _ADOC_LINK.sub(lambda it: it[1] or it[2] or it[3] or it[0].partition("[")[0], line)


_TEX_CODE = re.compile(
    r"\\begin\{(verbatim|lstlisting|minted|Verbatim)\*?\}(?:\[[^\]]*\])?(?:\{(\w*)\})?\n?(.*?)"
    r"\n?[ \t]*\\end\{\1\*?\}",
    re.DOTALL,
)
_TEX_LANGUAGE = re.compile(r"language=\{?(?:\[\w*\])?(\w+)")
_TEX_SECTION = re.compile(
    r"\\(part|chapter|section|subsection|subsubsection|paragraph)\*?(?:\[[^\]]*\])?\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}"
)
_TEX_LEVELS = {
    "part": 1,
    "chapter": 1,
    "section": 2,
    "subsection": 3,
    "subsubsection": 4,
    "paragraph": 5,
}
_TEX_COMMENT = re.compile(r"(?<!\\)%[^\n]*\n?")
_TEX_DROPPED = re.compile(
    r"\\(?:label|ref|eqref|cref|Cref|cite[tp]?|citep|pageref|index|vspace|hspace|includegraphics"
    r"|bibliography|bibliographystyle|input|include|usepackage|newcommand|setlength|footnotemark)\*?"
    r"(?:\[[^\]]*\])*(?:\{[^{}]*\})*"
)
_TEX_WRAPPED = re.compile(
    r"\\(?:text\w+|emph|textbf|textit|texttt|underline|url|mbox|caption|footnote|title|author|href\{[^{}]*\})\*?\{([^{}]*)\}"
)
_TEX_ENVIRONMENT = re.compile(
    r"\\(?:begin|end)\{(?!equation|align|math|displaymath|gather)[\w*]+\}(?:\[[^\]]*\])?(?:\{[^{}]*\})?"
)
_TEX_COMMAND = re.compile(
    r"\\(?:noindent|maketitle|tableofcontents|newpage|clearpage|centering|small|large|Large|tightlist|endhead"
    r"|bfseries|itshape|par|medskip|bigskip|smallskip|hline|toprule|midrule|bottomrule)\b ?"
)


_TEX_SIGNS = (
    ("\\%", "%"), ("\\&", "&"), ("\\_", "_"), ("\\#", "#"), ("\\$", "$"), ("~", " "),
    ("``", "\u201c"), ("''", "\u201d"), ("---", "\u2014"), ("--", "\u2013"),
    ("\\ldots", "\u2026"), ("\\\\", "\n"),
)  # fmt: skip


def latex_to_markdown(text: str) -> str:
    """Return LaTeX as Markdown; formulas stay TeX."""
    found = re.search(r"\\title\{([^{}]*)\}", text)
    body = text.partition("\\begin{document}")[2] or text
    body = body.partition("\\end{document}")[0]
    codes: list[str] = []

    def put_aside(match: re.Match[str]) -> str:
        named = _TEX_LANGUAGE.search(match[0].split("\n", 1)[0])
        language = (match[2] or (named[1] if named else "")).lower()
        codes.append(f"```{language}\n{match[3]}\n```")
        return f"\n\n\ue000{len(codes) - 1}\ue000\n\n"

    body = _TEX_CODE.sub(put_aside, body)
    body = _TEX_COMMENT.sub("\n", body)
    body = re.sub(
        r"\\hypertarget\{[^{}]*\}\{\s*|^\}$|\\label\{[^{}]*\}\}?|\{@\{\}\w*@\{\}\}",
        "",
        body,
        flags=re.MULTILINE,
    )
    body = re.sub(
        r"\\item(?:\[([^\]]*)\])?[ \t]*", lambda it: f"- {it[1] + ': ' if it[1] else ''}", body
    )
    body = _TEX_SECTION.sub(lambda it: f"\n\n{'#' * _TEX_LEVELS[it[1]]} {it[2]}\n\n", body)
    body = _TEX_COMMAND.sub("", _TEX_DROPPED.sub("", body))
    for _ in range(4):
        body = _TEX_WRAPPED.sub(r"\1", body)
    body = _TEX_ENVIRONMENT.sub("", body)
    for raw, sign in _TEX_SIGNS:
        body = body.replace(raw, sign)
    body = re.sub(r"[ \t]+\n", "\n", re.sub(r"\n{3,}", "\n\n", body))
    body = re.sub("\ue000(\\d+)\ue000", lambda it: codes[int(it[1])], body)
    title = f"# {found[1].strip()}\n\n" if found and found[1].strip() else ""
    return title + body.strip("\n ")


_WIKI_NOISE = re.compile(
    r"<ref[^>/]*/>|<ref[^>]*>.{0,3000}?</ref>|<!--.{0,20000}?-->|\{\|.{0,50000}?\n\|\}"
    r"|<(?:gallery|math|timeline|imagemap)[^>]*>.{0,20000}?</\w+>|__[A-Z]+__",
    re.DOTALL,
)
_WIKI_CODE = re.compile(
    r"<(?:syntaxhighlight|source)(?:[^>]*?\blang=\"?(\w+)\"?)?[^>]*>\n?(.{0,50000}?)\n?</(?:syntaxhighlight|source)>",
    re.DOTALL,
)
_WIKI_FILE = re.compile(
    r"\[\[(?:File|Image|Category|Datei|Bild|Kategorie|Fichier|Catégorie|Archivo):(?:[^\[\]]|\[\[[^\]]*\]\])*\]\]",
    re.IGNORECASE,
)
_WIKI_LINK = re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]")
_WIKI_OUT = re.compile(r"\[https?://\S+[ ]?([^\]]*)\]")
_WIKI_HEADING = re.compile(r"^(={2,6})[ \t]*(.+?)[ \t]*\1[ \t]*$", re.MULTILINE)
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")


def wikitext(text: str) -> str:
    """Return MediaWiki's markup as Markdown, without templates, references and tables."""
    codes: list[str] = []

    def put_aside(match: re.Match[str]) -> str:
        codes.append(f"```{match[1] or ''}\n{match[2]}\n```")
        return f"\ue000{len(codes) - 1}\ue000"

    text = _WIKI_CODE.sub(put_aside, text.replace("\ue000", ""))
    text = _WIKI_NOISE.sub("", text)
    for _ in range(8):  # they nest
        shorter = _TEMPLATE.sub("", text)
        if shorter == text:
            break
        text = shorter
    text = _WIKI_LINK.sub(r"\1", _WIKI_FILE.sub("", text))
    text = _WIKI_OUT.sub(r"\1", text)
    text = re.sub(r"^([*#:;]+)[ \t]*", _wiki_item, text, flags=re.MULTILINE)
    text = text.replace("'''", "**").replace("''", "*")
    text = _WIKI_HEADING.sub(lambda it: f"{'#' * len(it[1])} {it[2]}", text)
    text = re.sub(
        r"</?(?:small|big|br|div|span|nowiki|center|sup|sub|blockquote|p)\b[^>]*>", "", text
    )
    text = re.sub("\ue000(\\d+)\ue000", lambda it: codes[int(it[1])], text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _wiki_item(match: re.Match[str]) -> str:
    marks = match[1]
    if marks[-1] in ":;":
        return ""
    return "  " * (len(marks) - 1) + ("1. " if marks[-1] == "#" else "- ")


def read_notebook(opener: Opener) -> Documents:
    """Yield a notebook as one document: its Markdown, and its code in fences."""
    data = opener.read_all(4 * opener.max_bytes)  # pictures in the output are most of it
    if data is None:
        return
    try:
        book = orjson.loads(data)
        cells = book.get("cells") or book["worksheets"][0]["cells"]
    except (orjson.JSONDecodeError, AttributeError, KeyError, IndexError, TypeError):
        opener.skip("", "broken notebook")
        return
    text = "\n\n".join(part for cell in cells if (part := _cell(cell, _language(book))))
    if text:
        whole = strip_surrogates(text)
        since = (
            _HEADINGS_SINCE if any(map(_is_heading, cells)) or "](attachment:" in str(cells) else 1
        )
        yield Document(digest(text), whole, opener.label, _title(text), since=since)
    else:
        opener.skip("", "no text")


_ATTACHMENT = re.compile(r"!\[[^\[\]\n]{0,300}\]\(attachment:[^()\n]{1,300}\)")
_HEADINGS_SINCE = 4  # version of reading, see `chunking.clean`


def _language(book: dict[str, Any]) -> str:
    metadata = book.get("metadata")
    kernel = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    name = kernel.get("language") if isinstance(kernel, dict) else None
    return name if isinstance(name, str) else "python"


def _cell(cell: Any, language: str) -> str:
    if not isinstance(cell, dict):
        return ""
    source = cell.get("source", cell.get("input", ""))
    text = (
        "".join(part for part in source if isinstance(part, str))
        if isinstance(source, list)
        else source
    )
    if not isinstance(text, str) or not text.strip():
        return ""
    if cell.get("cell_type") == "code":
        return f"```{language}\n{text}\n```"
    if _is_heading(cell):
        return f"{'#' * cell['level']} {text}"
    return _ATTACHMENT.sub("", text)


def _is_heading(cell: Any) -> bool:
    """Return whether a cell is a heading, as notebooks had them before version 4."""
    level = cell.get("level") if isinstance(cell, dict) else None
    return isinstance(level, int) and 0 < level <= 6 and cell.get("cell_type") == "heading"  # noqa: PLR2004


def _title(text: str) -> str | None:
    match = re.match(r"\s*#{1,2} ([^\n]+)", text)
    return match[1].strip() if match else None


def read_rst(opener: Opener) -> Documents:
    """Yield a reStructuredText file as Markdown."""
    return _read(opener, rst_to_markdown)


def read_asciidoc(opener: Opener) -> Documents:
    """Yield an AsciiDoc file as Markdown."""
    return _read(opener, asciidoc_to_markdown)


def read_latex(opener: Opener) -> Documents:
    """Yield a LaTeX file as Markdown."""
    return _read(opener, latex_to_markdown)


def _read(opener: Opener, convert: Callable[[str], str]) -> Documents:
    text = decode_whole(opener)
    if text is not None:
        body = strip_surrogates(convert(text.replace("\r\n", "\n")))
        yield Document(digest(text), body, opener.label, _title(body))

"""Converts an article's nodes to Markdown: no escapes, no tags, and code unchanged.

Code always starts at the left margin: indented with the list or quotation around it, its lines
would differ from the author's.
"""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from pairmill.sources.pages.code import code_in, fenced, is_code, language_of
from pairmill.sources.pages.tree import BLOCKS, HEADINGS, Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["PERMALINKS", "inline_text", "is_data_table", "render", "table_rows"]

_MOST_COLUMNS = 60
_MOST_ROWS = 5000
_LONG_CELL = 700  # characters: cells of data are shorter
_LONG_BLOCKS = frozenset(("pre", "h1", "h2", "h3", "table", "blockquote"))


def is_data_table(table: Node) -> bool:
    """Return whether a table's rows and columns have a meaning.

    Tables with nested tables, headings, code or long text in their cells, with one column, or with
    one row and no heading are layout: their cells are read one after the other.
    """
    if table.get("role") in ("presentation", "none"):
        return False
    rows = list(_rows(table))
    widest = max((len(row) for row in rows), default=0)
    if widest < 2:  # noqa: PLR2004
        return False
    has_heading = any(cell.tag == "th" for row in rows for cell in row)
    if len(rows) == 1 and not has_heading:
        return False
    for row in rows:
        for cell in row:
            if cell.chars > _LONG_CELL and not has_heading:
                return False
            if cell.has_blocks and any(kid.tag in _LONG_BLOCKS for kid in cell.nodes()):
                return False
    return True


def table_rows(table: Node, text_of: Callable[[Node], str]) -> list[list[str]]:
    """Return the texts of a table, rows padded to equal width; spanned cells are not repeated."""
    grid: list[list[str]] = []
    covered: dict[tuple[int, int], bool] = {}
    for at, row in enumerate(_rows(table)):
        if at >= _MOST_ROWS:
            break
        line: list[str] = []
        for cell in row:
            while covered.pop((at, len(line)), False):
                line.append("")
            wide, high = _span(cell, "colspan"), _span(cell, "rowspan")
            for column in range(len(line), len(line) + wide):
                for below in range(at + 1, at + high):
                    covered[below, column] = True
            line.append(text_of(cell))
            line.extend([""] * (wide - 1))
            if len(line) > _MOST_COLUMNS:
                break
        if any(line):
            grid.append(line[:_MOST_COLUMNS])
    width = max(map(len, grid), default=0)
    return [line + [""] * (width - len(line)) for line in grid]


def _span(cell: Node, name: str) -> int:
    value = cell.get(name)
    return min(int(value), 50) if value.isdigit() and 0 < len(value) < 4 and int(value) else 1  # noqa: PLR2004


def _rows(table: Node) -> Iterator[list[Node]]:
    for kid in table.kids:
        if isinstance(kid, str):
            continue
        if kid.tag == "tr":
            cells = [
                cell for cell in kid.kids if isinstance(cell, Node) and cell.tag in ("td", "th")
            ]
            if cells:
                yield cells
        elif kid.tag in ("tbody", "thead", "tfoot"):
            yield from _rows(kid)


PERMALINKS = frozenset(("¶", "#", "§", "🔗", "\uf0c1", "", "\u200b", "Link to this heading"))

_SPACES = re.compile(r"[ \t\r\n\f]+")
_LINES = re.compile(r" *\n *")
_PARAGRAPHS = re.compile(r"\n{2,}")
_CODE_TAGS = frozenset(("code", "tt", "samp", "kbd"))
_MARKS = {"em": "*", "i": "*", "strong": "**", "b": "**"}
_WORD = re.compile(r"\w")
_POWERS = str.maketrans("0123456789+-−()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁽⁾ⁿ")  # noqa: RUF001
_REFERENCE = re.compile(r"\[?(?:\d{1,3}|[a-z]|note \d+|[*†‡])\]?")
_ORDINAL = re.compile(r"(?:st|nd|rd|th|er|re|e|o|a|ème|eme|[™®©℠]|tm|sm)", re.IGNORECASE)
_NOTE_LINK = re.compile(
    r"#(?:fn|footnote|_?ftn|cite_note|note|sdfootnote|user-content-fn|id\d)", re.IGNORECASE
)
_CITATION = re.compile(r"\breference\b|\bcite[-_]?ref")
_BACKLINK = re.compile(
    r"footnote-?back|backref|reversefootnote|fn-backref|backlink|mw-cite-backlink"
)
_JUNK = re.compile(
    r"headerlink|anchorjs|mw-editsection|noprint|sr-only|visually-?hidden|screen-reader"
    r"|header-anchor|heading-anchor|permalink|copy-?btn|copybtn|viewcode"
)
_QUOTES = ("“", "”")


class Piece(NamedTuple):
    """A paragraph, list, table, heading or code block: its kind, and its lines."""

    kind: str
    text: str


def render(nodes: Iterable[Node | str]) -> str:
    """Return the Markdown of consecutive nodes."""
    writer = _Writer()
    writer.add_all(list(nodes))
    return "\n\n".join(_once(writer.finish()))


def _once(blocks: list[Piece]) -> Iterator[str]:
    """Yield the texts; a caption that a gallery repeats only once, and no label of a language."""
    seen: set[str] = set()
    for (kind, text), after in zip_longest(blocks, blocks[1:]):
        if kind == "text" and after is not None and after.kind == "code" and _names(text, after):
            continue
        if kind == "caption":
            if text in seen:
                continue
            seen.add(text)
        yield text


def _names(text: str, code: Piece) -> bool:
    """Return whether a line only names the language of the code below it."""
    return code.text.startswith(f"```{text.casefold()}\n")


def inline_text(node: Node) -> str:
    """Return the text of an element on one line, without markup."""
    parts: list[str] = []
    _inline(node.kids, parts, marks=False)
    return _SPACES.sub(" ", "".join(parts)).strip()


class _Writer:
    """Collects blocks; inline content between them becomes paragraphs."""

    def __init__(self, *, marks: bool = True) -> None:
        self.blocks: list[Piece] = []
        self._run: list[str] = []
        self._marks = marks

    def finish(self) -> list[Piece]:
        self._end_paragraph()
        return self.blocks

    def add_all(self, kids: list[Node | str]) -> None:
        for kid in kids:
            if isinstance(kid, str):
                self._run.append(_SPACES.sub(" ", kid))
            else:
                self.add(kid)

    def add(self, node: Node) -> None:  # noqa: C901, PLR0912 (a table of tags)
        tag = node.tag
        if tag not in BLOCKS:
            if tag == "code" and is_code(node):
                self._put("code", fenced(code_in(node), language_of(node)))
            elif node.has_blocks and not _is_junk(node):
                self.add_all(node.kids)
            else:
                _inline_node(node, self._run, marks=self._marks)
            return
        if node.names and _is_junk(node):
            return
        self._end_paragraph()
        if tag in HEADINGS:
            self._add_heading(node)
        elif is_code(node):
            code = code_in(node)
            if code.strip():
                self._put("code", fenced(code, language_of(node)))
        elif tag in ("ul", "ol", "menu", "dir"):
            self._put("list", _list(node))
        elif tag == "dl":
            self._add_definitions(node)
        elif tag == "blockquote":
            self._add_quotation(node)
        elif tag == "table":
            self._add_table(node)
        elif tag != "hr":
            before = len(self.blocks)
            self.add_all(node.kids)
            self._end_paragraph()
            if tag == "figcaption" or "caption" in node.names:
                self.blocks[before:] = [
                    Piece("caption" if block.kind == "text" else block.kind, block.text)
                    for block in self.blocks[before:]
                ]

    def _put(self, kind: str, text: str) -> None:
        self._end_paragraph()
        if text.strip():
            self.blocks.append(Piece(kind, text))

    def _end_paragraph(self) -> None:
        if not self._run:
            return
        text = _LINES.sub("\n", re.sub(" {2,}", " ", "".join(self._run))).strip()
        self._run.clear()
        for part in _PARAGRAPHS.split(text):
            if part:
                self.blocks.append(Piece("text", part))

    def _add_heading(self, node: Node) -> None:
        if node.has_blocks and any(
            isinstance(kid, Node) and kid.tag in ("p", "ul", "table", "pre") for kid in node.nodes()
        ):
            self.add_all(node.kids)
            return
        parts: list[str] = []
        _inline(node.kids, parts, marks=False)
        title = _SPACES.sub(" ", "".join(parts)).strip().rstrip("¶§").rstrip()
        if title and _WORD.search(title):
            self._put("heading", f"{'#' * HEADINGS[node.tag]} {title}")

    def _add_definitions(self, node: Node) -> None:
        """Add terms on separate lines; definitions start with a colon."""
        pending: list[str] = []
        for kid in _members(node, ("dt", "dd")):
            inner = _blocks(kid.kids, marks=self._marks)
            if kid.tag == "dt":
                pending.extend(block.text for block in inner)
                continue
            if inner and inner[0].kind == "text":
                first = f": {inner[0].text}"
                self._put("definition", "\n".join((*pending, first)))
                rest = inner[1:]
            else:
                self._put("text", "\n".join(pending))
                rest = inner
            pending = []
            self.blocks.extend(rest)
        self._put("text", "\n".join(pending))

    def _add_quotation(self, node: Node) -> None:
        quoted: list[str] = []
        for block in _blocks(node.kids, marks=self._marks):
            if block.kind == "code":
                if quoted:
                    self._put("quote", _prefixed("\n\n".join(quoted), "> "))
                    quoted = []
                self._put("code", block.text)
            else:
                quoted.append(block.text)
        if quoted:
            self._put("quote", _prefixed("\n\n".join(quoted), "> "))

    def _add_table(self, node: Node) -> None:
        if not is_data_table(node):
            for kid in node.nodes():
                if kid.tag == "caption" and kid.chars:
                    self._put("text", inline_text(kid))
            for cell in _cells(node):
                self.add_all(cell.kids)
                self._end_paragraph()
            return
        caption = next((kid for kid in node.nodes() if kid.tag == "caption"), None)
        if caption is not None and caption.chars:
            self._put("text", inline_text(caption))
        rows = table_rows(node, _cell_text)
        if not rows:
            return
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        lines.insert(1, "|" + " --- |" * len(rows[0]))
        self._put("table", "\n".join(lines))


def _blocks(kids: list[Node | str], *, marks: bool = True) -> list[Piece]:
    writer = _Writer(marks=marks)
    writer.add_all(kids)
    return writer.finish()


def _members(node: Node, tags: tuple[str, ...]) -> Iterable[Node]:
    """Yield children with these tags, including those inside a grouping ``div``."""
    for kid in node.kids:
        if isinstance(kid, str):
            continue
        if kid.tag in tags:
            yield kid
        elif kid.tag in ("div", "span", "template", "tbody"):
            yield from _members(kid, tags)


def _cells(table: Node) -> Iterable[Node]:
    """Yield the cells of a table, excluding nested tables."""
    for kid in table.kids:
        if isinstance(kid, str):
            continue
        if kid.tag in ("td", "th"):
            yield kid
        elif kid.tag in ("tr", "tbody", "thead", "tfoot"):
            yield from _cells(kid)


def _list(node: Node, depth: int = 0) -> str:
    """Return a list's lines; the content of an item is indented under its text, except code."""
    numbered = node.tag == "ol"
    start = node.get("start")
    number = int(start) if start.isdigit() and len(start) < 6 else 1  # noqa: PLR2004
    items: list[tuple[str, bool]] = []
    for kid in node.kids:
        if isinstance(kid, str):
            if kid.strip():
                items.append((f"- {_SPACES.sub(' ', kid).strip()}", False))
            continue
        if kid.tag in ("ul", "ol"):
            text = _indented(_list(kid, depth + 1), "  ")
            items.append((text, False))
            continue
        inner = _blocks(kid.kids if kid.tag == "li" else [kid])
        if not inner:
            continue
        note = _note_label(kid)
        marker = f"[^{note}]: " if note else f"{number}. " if numbered else "- "
        number += 1
        items.append(_item(marker, inner))
    text = ""
    for line, is_loose in items:
        if text:
            text += "\n\n" if is_loose or text.endswith("`") else "\n"
        text += line
    return text


def _item(marker: str, blocks: list[Piece]) -> tuple[str, bool]:
    """Return an item's lines, and whether a blank line precedes it."""
    pad = " " * (2 if marker == "- " else min(len(marker), 4))
    first = blocks[0]
    if first.kind in ("code", "table", "heading"):
        text = first.text if first.kind != "heading" else marker + first.text.lstrip("# ")
    else:
        text = marker + _indented(first.text, pad).lstrip()
    is_loose = first.kind == "code"
    for block in blocks[1:]:
        if block.kind == "code":
            text += f"\n\n{block.text}"
            is_loose = True
        elif block.kind == "list":
            text += ("\n\n" if text.endswith("```") else "\n") + _indented(block.text, pad)
        else:
            text += "\n\n" + _indented(block.text, pad)
            is_loose = True
    return text, is_loose


def _indented(text: str, pad: str) -> str:
    """Indent lines, except fenced code."""
    lines = []
    fence = ""
    for line in text.split("\n"):
        if fence:
            if line == fence:
                fence = ""
            lines.append(line)
        elif line.startswith("```"):
            fence = line[: len(line) - len(line.lstrip("`"))]
            lines.append(line)
        else:
            lines.append(pad + line if line else line)
    return "\n".join(lines)


def _prefixed(text: str, mark: str) -> str:
    return "\n".join((mark + line).rstrip() for line in text.split("\n"))


def _note_label(item: Node) -> str:
    """Return the footnote number if this item is a footnote's text, else an empty string."""
    name = item.get("id")
    match = (
        re.fullmatch(r"(?:user-content-)?(?:fn|footnote|_?ftn)[-:_]?(\w{1,20})", name)
        if name
        else None
    )
    return match[1] if match else ""


def _cell_text(cell: Node) -> str:
    """Return a cell on one line; lists and paragraphs in it are separated by semicolons."""
    if not cell.has_blocks:
        parts: list[str] = []
        _inline(cell.kids, parts)
        text = "".join(parts)
    else:
        pieces = []
        for block in _blocks(cell.kids):
            if block.kind == "list":
                lines = (line.strip() for line in block.text.split("\n"))
                pieces.append("; ".join(re.sub(r"^(?:-|\d+\.) ", "", line) for line in lines))
            elif block.kind == "code":
                code = block.text.split("\n")[1:-1]
                pieces.append(" ".join(f"`{line.strip()}`" for line in code if line.strip()))
            else:
                pieces.append(block.text.lstrip("# "))
        text = "\n".join(pieces)
    text = re.sub(r"\s*\n\s*", "; ", text.strip())
    return _SPACES.sub(" ", text).replace("|", "\\|").strip()


def _is_junk(node: Node) -> bool:
    return bool(node.names) and bool(_JUNK.search(node.names)) and node.chars < 60  # noqa: PLR2004


def _inline(kids: list[Node | str], parts: list[str], *, marks: bool = True) -> None:
    for kid in kids:
        if isinstance(kid, str):
            parts.append(_SPACES.sub(" ", kid))
        else:
            _inline_node(kid, parts, marks=marks)


def _inline_node(  # noqa: C901 (a table of tags)
    node: Node, parts: list[str], *, marks: bool
) -> None:
    tag = node.tag
    if tag == "br":
        parts.append("\n")
    elif tag in ("rt", "rp", "wbr") or (node.names and _is_junk(node)):
        return
    elif tag in _CODE_TAGS:
        parts.append(_code(node))
    elif tag in ("sup", "sub"):
        _add_raised(node, parts)
    elif tag == "math":
        parts.append(_math(node))
    elif tag == "q":
        parts.append(_QUOTES[0])
        _inline(node.kids, parts, marks=marks)
        parts.append(_QUOTES[1])
    elif tag == "a":
        if not _is_permalink(node):
            _inline(node.kids, parts, marks=marks)
    elif tag in _MARKS and marks and not node.has_blocks:
        _add_marked(node, _MARKS[tag], parts)
    elif tag == "annotation" or "katex-html" in node.names or "mjx-chtml" in node.names:
        return
    else:
        _inline(node.kids, parts, marks=marks)
        if tag in BLOCKS:
            parts.append(" ")


def _is_permalink(node: Node) -> bool:
    if node.names and _BACKLINK.search(node.names):
        return True
    if node.chars > 2:  # noqa: PLR2004
        return False
    text = node.text().strip()
    return text in PERMALINKS or (text in "↩↑^⤴" and node.get("href").startswith("#"))


def _code(node: Node) -> str:
    text = _SPACES.sub(" ", node.text()).strip(" ")
    if not text:
        return ""
    if "`" not in text:
        return f"`{text}`"
    fence = "`" * (max(len(run) for run in re.findall("`+", text)) + 1)
    return f"{fence} {text} {fence}"


def _add_marked(node: Node, mark: str, parts: list[str]) -> None:
    """Add emphasis, but not within a word or around nothing."""
    inner: list[str] = []
    _inline(node.kids, inner, marks=True)
    text = "".join(inner)
    bare = text.strip()
    last = next((part for part in reversed(parts) if part), " ")
    glued = last[-1].isalnum() or last[-1] in "*`"
    if not bare or glued or "\n" in bare or "*" in bare or not _WORD.search(bare):
        parts.append(text)
        return
    lead = " " if text[0].isspace() else ""
    tail = " " if text[-1].isspace() else ""
    parts.append(f"{lead}{mark}{bare}{mark}{tail}")


def _add_raised(node: Node, parts: list[str]) -> None:
    """Add superscripts and subscripts: footnotes as Markdown, powers unchanged."""
    link = node.find("a")
    text = _SPACES.sub(" ", node.text()).strip()
    if not text:
        return
    if link is not None and text and _REFERENCE.fullmatch(text):
        if _CITATION.search(node.names) or "cite_note" in link.get("href"):
            return
        if (
            _NOTE_LINK.match(link.get("href"))
            or "footnote" in link.names
            or "footnote" in node.names
        ):
            parts.append(f"[^{text.strip('[]')}]")
            return
    before = next((part[-1] for part in reversed(parts) if part), " ")
    if node.tag == "sup" and before.isalnum() and not _ORDINAL.fullmatch(text):
        raised = text.translate(_POWERS)
        is_whole = not any(mark in raised for mark in text if mark.isalnum())
        parts.append(raised if is_whole else f"^{text}" if len(text) == 1 else f"^({text})")
    elif node.tag == "sub" and before.isalnum() and not text.isdigit() and len(text) < 12:  # noqa: PLR2004
        parts.append(f"_{text}")
    else:
        parts.append(text)


def _math(node: Node) -> str:
    """Return a formula as TeX if the page has it, else as plain symbols."""
    for kid in node.nodes():
        if kid.tag == "annotation" and "tex" in kid.get("encoding"):
            return f"${_SPACES.sub(' ', kid.text()).strip()}$"
    tex = node.get("alttext")
    if tex:
        return f"${tex.strip()}$"
    return _SPACES.sub(" ", node.text()).strip()

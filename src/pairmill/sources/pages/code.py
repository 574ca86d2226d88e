"""Code blocks of pages: the author's lines unchanged, without line numbers."""

from __future__ import annotations

import re

from pairmill.sources.pages.tree import Node

__all__ = ["code_in", "fenced", "is_code", "language_of"]

_GUTTER = re.compile(
    r"(?:^|[\s_-])(?:line-?nos?|line-?numbers?|linenumbers?-rows|gutter|nums|crayon-nums(?:-content)?|gl|lnt|ln|ln-num|hljs-ln-"
    r"n|hljs-ln-numbers|blob-num|rouge-gutter|number-line|code-line-number|css-lineno|linenodiv"
    r"|react-syntax-highlighter-line-number|headerlink|copy(?:-btn|-button|btn)?|clipboard)(?=$|\s)"
)
_CODE_LINE = re.compile(r"blob-code|hljs-ln-code|js-file-line|line-content|lntd")
_NUMBERS = re.compile(r"[\s\d.:|]*\d[\s\d.:|]*")
_NAMED = re.compile(
    r"(?:^|[\s\"'])(?:language|lang|highlight-source|highlight|brush:?|src|sourcecode|codeblock)"
    r"[-: ]\s?([a-z][\w+#.-]*)"
)
_NO_LANGUAGE = frozenset(
    [
        "none",
        "default",
        "text",
        "plain",
        "plaintext",
        "notranslate",
        "source",
        "code",
        "block",
        "wrapper",
        "nohighlight",
        "auto",
        "unknown",
        "txt",
        "output",
        "no-highlight",
        "undefined",
        "html-block",
        "raw",
    ]
)
_LANGUAGES = frozenset(
    [
        "python",
        "python3",
        "py",
        "pycon",
        "py3",
        "ipython",
        "ipython3",
        "javascript",
        "js",
        "jsx",
        "typescript",
        "ts",
        "tsx",
        "java",
        "kotlin",
        "scala",
        "groovy",
        "clojure",
        "c",
        "cpp",
        "c++",
        "csharp",
        "cs",
        "fsharp",
        "objc",
        "objectivec",
        "swift",
        "go",
        "golang",
        "rust",
        "zig",
        "nim",
        "d",
        "ruby",
        "rb",
        "perl",
        "php",
        "lua",
        "r",
        "julia",
        "matlab",
        "octave",
        "haskell",
        "ocaml",
        "elixir",
        "erlang",
        "elm",
        "dart",
        "sql",
        "mysql",
        "plpgsql",
        "postgresql",
        "sqlite",
        "graphql",
        "html",
        "xml",
        "css",
        "scss",
        "sass",
        "less",
        "json",
        "json5",
        "jsonc",
        "yaml",
        "yml",
        "toml",
        "ini",
        "cfg",
        "properties",
        "bash",
        "sh",
        "shell",
        "zsh",
        "fish",
        "console",
        "shell-session",
        "sh-session",
        "powershell",
        "ps1",
        "batch",
        "bat",
        "dos",
        "cmd",
        "makefile",
        "make",
        "cmake",
        "dockerfile",
        "docker",
        "nginx",
        "apache",
        "apacheconf",
        "diff",
        "patch",
        "latex",
        "tex",
        "markdown",
        "md",
        "rst",
        "asciidoc",
        "vim",
        "viml",
        "lisp",
        "scheme",
        "racket",
        "elisp",
        "emacs-lisp",
        "prolog",
        "fortran",
        "cobol",
        "pascal",
        "delphi",
        "ada",
        "vhdl",
        "verilog",
        "asm",
        "nasm",
        "assembly",
        "llvm",
        "wasm",
        "protobuf",
        "proto",
        "thrift",
        "hcl",
        "terraform",
        "nix",
        "solidity",
        "svelte",
        "vue",
        "astro",
        "twig",
        "jinja",
        "jinja2",
        "django",
        "liquid",
        "handlebars",
        "http",
        "awk",
        "sed",
        "tcl",
        "vb",
        "vbnet",
        "vbscript",
        "applescript",
        "coffeescript",
        "crystal",
        "cuda",
        "glsl",
        "hlsl",
        "wgsl",
        "puppet",
        "pug",
        "haml",
        "erb",
        "ejs",
        "mermaid",
        "plantuml",
        "dot",
        "regex",
        "ebnf",
        "abnf",
        "peg",
        "bnf",
        "doctest",
        "pytb",
        "traceback",
        "gherkin",
    ]
)
_LINE_OF = re.compile(r"(?:^|[\s-])(?:code-?)?line(?=$|\s)")
_CODE_BOX = re.compile(
    r"(?:^|[\s_-])(?:fragment|code|crayon|highlight|syntax\w*|source\w*)(?=$|[\s_-])"
)
_BLANK = re.compile(r"^[ \xa0]+$", re.MULTILINE)
_LINES = frozenset(("tr", "div", "li", "p"))  # elements that are a line of code each
_LEAST_LINES = 2
_ABOVE = 3  # elements around a <pre> whose class may name the language


def is_code(node: Node) -> bool:
    """Return whether an element is one block of code: ``<pre>``, or a table of its lines."""
    tag = node.tag
    if tag in ("pre", "listing", "xmp", "plaintext"):
        return True
    if tag == "table":
        return _is_code_table(node)
    if tag == "div":
        return node.has_blocks and _is_box_of_lines(node)
    if tag == "code" and node.has_blocks is False and any(True for _ in _breaks(node)):
        return True
    return tag == "code" and bool(_NAMED.search(node.names)) and "\n" in node.text().strip()


def code_in(node: Node) -> str:
    """Return the lines of a code block with their indentation, without trailing blank lines."""
    parts: list[str] = []
    lines = _are_lines(node)
    _gather(node, parts, lines=lines)
    code = "".join(parts).replace("\r\n", "\n").replace("\r", "\n")
    if lines:
        code = _BLANK.sub("", code).replace("\xa0", " ")
        if node.tag == "div" and all(line[:1] in ("", " ") for line in code.split("\n")):
            code = "\n".join(line[1:] for line in code.split("\n"))  # it parts code and numbers
    code = code.removeprefix("\n")  # as a browser does
    return code.removesuffix("\n")


def fenced(code: str, language: str) -> str:
    """Return a Markdown code block whose fence is longer than any in the code."""
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{code}\n{fence}"


def language_of(node: Node) -> str:
    """Return the language that a page states for a code block; empty if it states none."""
    inner = [kid for kid in node.kids if isinstance(kid, Node) and kid.tag == "code"]
    near = [node, *inner]
    if node.tag == "table":
        near.extend(kid for kid in node.nodes() if kid.tag in ("pre", "code"))
    for one in near:
        if found := _named(one):
            return found
        for word in one.get("class").lower().split():
            if word in _LANGUAGES:
                return word
    above = node.parent
    for _ in range(_ABOVE):
        if above is None:
            break
        if found := _named(above):
            return found
        above = above.parent
    return ""


def _named(node: Node) -> str:
    data = (node.get("data-lang") or node.get("data-language") or node.get("lang-name")).lower()
    if data and re.fullmatch(r"[a-z][\w+#.-]{0,20}", data) and data not in _NO_LANGUAGE:
        return data
    if not node.names:
        return ""
    for match in _NAMED.finditer(node.names):
        if match[1] not in _NO_LANGUAGE and not match[1].startswith(("source", "wrapper")):
            return match[1]
    return ""


def _breaks(node: Node) -> list[Node]:
    return [kid for kid in node.nodes() if kid.tag == "br"]


def _are_lines(node: Node) -> bool:
    """Return whether each block element is a line of code, instead of text with line ends."""
    if node.tag == "table":
        rows = [kid for kid in node.nodes() if kid.tag == "tr"]
        cells = [kid for kid in node.nodes() if kid.tag == "td"]
        if len(rows) == 1 and cells:  # the whole code in one cell
            return _are_lines(cells[-1])
    blocks = sum(kid.tag in _LINES for kid in node.nodes())
    return blocks > node.text().strip().count("\n")


def _gather(node: Node, parts: list[str], *, lines: bool) -> None:
    for kid in node.kids:
        if isinstance(kid, str):
            parts.append(kid)
            continue
        tag, names = kid.tag, kid.names
        if tag == "br":
            parts.append("\n")
        elif (names and _GUTTER.search(names) and not _holds_code(kid)) or (
            tag == "td" and _is_gutter(kid)
        ):
            continue
        elif lines and tag in _LINES:
            _end_line(parts)
            before = len(parts)
            _gather(kid, parts, lines=lines)
            row = "".join(parts[before:])
            if not row.strip():
                parts[before:] = ["\n"]
            elif not row.endswith("\n"):
                parts.append("\n")
        else:
            _gather(kid, parts, lines=lines)


def _holds_code(node: Node) -> bool:
    """Return whether an element named as a gutter contains more than numbers and signs."""
    return bool(re.search(r"[^\W\d_]{2}", node.text())) and "copy" not in node.names


def _end_line(parts: list[str]) -> None:
    last = next((part for part in reversed(parts) if part), "\n")
    if not last.endswith("\n"):
        parts.append("\n")


def _is_gutter(cell: Node) -> bool:
    if cell.names and _GUTTER.search(cell.names) and not _holds_code(cell):
        return True
    return bool(cell.get("data-line-number")) and not cell.text().strip()


def _is_box_of_lines(box: Node) -> bool:
    """Return whether an element is a listing whose lines are elements, as Doxygen writes them."""
    if not _CODE_BOX.search(box.names):
        return False
    lines = [kid for kid in box.kids if isinstance(kid, Node)]
    return len(lines) >= _LEAST_LINES and all(
        not it.has_blocks and bool(_LINE_OF.search(it.names)) for it in lines
    )


def _is_code_table(table: Node) -> bool:
    """Distinguish a table of line numbers and code from a data table."""
    cells = [node for node in table.nodes() if node.tag in ("td", "th")]
    if not cells:
        return False
    if any(_CODE_LINE.search(cell.names) and "lntd" not in cell.names for cell in cells):
        return True
    gutters = [cell for cell in cells if _is_gutter(cell)]
    if gutters:
        others = [cell for cell in cells if cell not in gutters]
        return bool(others) and all(
            cell.find("pre", "code") is not None or "code" in cell.names for cell in others
        )
    two = len(cells) == 2 and all(cell.find("pre") is not None for cell in cells)  # noqa: PLR2004
    return two and bool(_NUMBERS.fullmatch(cells[0].text())) and cells[0].text().strip() != ""

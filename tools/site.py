"""Write the documentation as a small site of plain HTML: no script, nothing loaded from elsewhere.

    python tools/site.py [FOLDER]        site/ by default

Every Markdown page of the repository that is for readers becomes a page; links between them are
kept, and a link that leads nowhere is an error.
"""

from __future__ import annotations

import html
import posixpath
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md", "docker/*.md",
         "benchmarks/**/*.md", "examples/*.md")  # fmt: skip
NAVIGATION = (
    ("Start", ("README.md", "docs/index.md", "docs/quickstart.md", "docs/concepts.md")),
    ("Use", ("docs/sources.md", "docs/recipes.md", "docs/providers.md", "docs/thinking.md",
             "docs/limits.md", "docs/quality.md", "docs/qc.md", "docs/view.md", "docs/python.md",
             "docs/operations.md", "docs/scale.md", "docs/companions.md", "docs/simulator.md")),
    ("Look up", ("docs/commands.md", "docs/cli.md", "docs/settings.md", "docs/reliability.md",
                 "CHANGELOG.md")),
    ("Change it", ("docs/architecture.md", "CONTRIBUTING.md", "docs/internals/performance.md")),
)  # fmt: skip
STYLE = """\
:root { color-scheme: light dark; --line: #8884; --dim: #8888; }
body { margin: 0; font: 16px/1.55 system-ui, sans-serif; display: flex; flex-wrap: wrap; }
nav { padding: 1rem 1.5rem; min-width: 12rem; border-right: 1px solid var(--line); }
nav h2 { font-size: .8rem; margin: 1rem 0 .2rem; text-transform: uppercase; }
nav a { display: block; text-decoration: none; padding: .1rem 0; }
nav a[aria-current] { font-weight: 700; }
main { flex: 1 1 30rem; max-width: 54rem; padding: 1rem 2rem; min-width: 0; }
pre { overflow-x: auto; padding: .7rem; border: 1px solid var(--line); border-radius: 4px; }
code { font: .9em ui-monospace, monospace; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .6rem; text-align: left; }
td { vertical-align: top; }
"""


def pages() -> list[str]:
    """Paths of all pages below the repository, in order."""
    found = {path for pattern in PAGES for path in ROOT.glob(pattern)}
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def write(folder: Path) -> list[str]:
    """Write the site.

    Returns:
        Links that lead nowhere, as ``page: target``.
    """
    names, broken, others = pages(), list[str](), set[str]()
    texts = {name: (ROOT / name).read_text("utf-8") for name in names}
    anchors = {name: {slug(title) for title in headings(text)} for name, text in texts.items()}
    for name in names:
        body, missing = render(name, texts[name], anchors, others)
        broken += missing
        place = folder / target_of(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(frame(name, body, texts), "utf-8")
    for other in sorted(others):
        write_other(folder, other)
    return broken


def render(
    name: str, text: str, anchors: dict[str, set[str]], others: set[str]
) -> tuple[str, list[str]]:
    """The HTML of one page's text, and its links that lead nowhere."""
    broken: list[str] = []
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL))
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and following is not None:
            token.attrSet("id", slug(following.content))
        for inner in token.children or ():
            href = inner.attrGet("href") if inner.type == "link_open" else None
            if isinstance(href, str) and not re.match(r"[a-z]+:", href):
                inner.attrSet("href", link(name, unquote(href), anchors, broken, others))
    return str(parser.renderer.render(tokens, parser.options, {})), broken


def link(
    name: str, href: str, anchors: dict[str, set[str]], broken: list[str], others: set[str]
) -> str:
    """Where a link of a page leads on the site; notes files that are no pages in ``others``."""
    path, _, anchor = href.partition("#")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
    if target in anchors:
        if anchor and anchor not in anchors[target]:
            broken.append(f"{name}: {href}")
        start = posixpath.dirname(target_of(name)) or "."
        there = posixpath.relpath(target_of(target), start) if path else ""
        return f"{there}{'#' + anchor if anchor else ''}"
    if (ROOT / target).exists():
        others.add(target)
        return f"{href}/index.html".replace("//", "/") if (ROOT / target).is_dir() else href
    broken.append(f"{name}: {href}")
    return href


def write_other(folder: Path, name: str) -> None:
    """Copy a file that a page points to; of a folder, list what is in it."""
    source, place = ROOT / name, folder / name
    if source.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)
    elif not (place / "index.html").exists():
        place.mkdir(parents=True, exist_ok=True)
        found = [path.name for path in sorted(source.iterdir()) if path.is_file()]
        listed = (
            f'<li><a href="{html.escape(name.removesuffix(".md"))}.html">{html.escape(name)}</a>'
            if name.endswith(".md")
            else f"<li>{html.escape(name)}"
            for name in found
        )
        title = html.escape(name)
        body = f"<title>{title}</title><h1>{title}</h1><ul>{''.join(listed)}</ul>"
        (place / "index.html").write_text(f"<!doctype html>{body}", "utf-8")


def frame(name: str, body: str, texts: dict[str, str]) -> str:
    """A whole page around a body."""
    parts: list[str] = []
    start = posixpath.dirname(target_of(name)) or "."
    for title, members in NAVIGATION:
        parts.append(f"<h2>{title}</h2>")
        for member in members:
            if member in texts:
                there = posixpath.relpath(target_of(member), start)
                here = ' aria-current="page"' if member == name else ""
                label = html.escape(next(iter(headings(texts[member])), member))
                parts.append(f'<a href="{there}"{here}>{label}</a>')
    title = html.escape(next(iter(headings(texts[name])), name))
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title} - pairmill</title><style>{STYLE}</style>"
        f"<nav>{''.join(parts)}</nav><main>{body}</main></html>\n"
    )


def target_of(name: str) -> str:
    """Where a page stands on the site."""
    if name == "README.md":
        return "index.html"
    return (
        re.sub(r"README\.md$", "index.html", name).removesuffix(".md").removesuffix(".html")
        + ".html"
    )


def headings(text: str) -> list[str]:
    """The titles of a page, without those in code."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"^#{1,6} (.+?)\s*$", prose, re.MULTILINE)


def slug(title: str) -> str:
    """A title as the end of an address, as code forges make it."""
    words = re.sub(r"[^\w\- ]", "", title.replace("`", "").lower())
    return words.strip().replace(" ", "-")


def main(arguments: list[str]) -> int:
    """Write the site; 1 where a link leads nowhere."""
    folder = Path(arguments[0]) if arguments else ROOT / "site"
    broken = write(folder)
    for line in broken:
        sys.stderr.write(f"leads nowhere: {line}\n")
    sys.stdout.write(f"{folder / 'index.html'}\n")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

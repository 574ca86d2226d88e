"""Lines that newsletter, blog and consent software adds to an article.

Only whole lines, exactly as that software writes them: a sentence that holds such a word stays.
"""

from __future__ import annotations

import re

__all__ = ["is_boilerplate"]


def _phrases(text: str) -> frozenset[str]:
    return frozenset(" ".join(phrase.split()) for phrase in text.split("|"))


_PHRASES = _phrases(
    """subscribe | subscribe now | subscribe for free | subscribesign in | sign in | sign up
    | log in | login | share | share this post | copy link | start writing
    | start writingget the app
    | get the app | get app | open in app | ready for more? | leave a comment | no posts | restacks
    | already have an account? sign in | discover more | continue reading | thanks for reading!
    | subscribe to our newsletter | skip to content | skip to main content | back to top
    | accept cookies | accept all cookies | reject all | cookie settings | cookie policy
    | member-only story | give a gift | give a gift subscription | upgrade to paid | no thanks
    | see all | share on facebook | share on twitter | share on linkedin | share on x
    | privacy ∙ terms ∙ collection notice | substack is the home for great culture
    | start your substack | listen to this article | listen to this post | type your email...
    | follow us | advertisement | previous post | next post | previousnext | unblock scripts
    | discussion about this post | #### discussion about this post
    | this site requires javascript to run correctly. please turn on javascript or"""
)
# Words of share boxes and footers that an article may use as well: only right after one of those.
_COMPANIONS = _phrases(
    """facebook | twitter | linkedin | email | note | notes | other | more | top | latest | new
    | comments | discussions | previous | next | write | follow | listen | · | —"""
)
_MAX_CHARS = 80
_LINK = re.compile(r"(?:[-*+] )?\[([^\[\]]*)\]\([^()\s]*\)")
_FOOTER = re.compile(r"(?:©|\(c\)|copyright) ?©? ?\d{4}\b[^.!?]{0,60}")


def is_boilerplate(line: str, after_boilerplate: bool) -> bool:
    """Return whether a line outside fenced code is not part of the article.

    ``after_boilerplate``: the last line that was not blank was boilerplate itself.
    """
    if line.startswith(("    ", "\t")):  # indented code
        return False
    if "]" in line and "](" in line:  # one character is found faster than two
        link = _LINK.fullmatch(line.strip())
        return link is not None and link[1].strip().casefold() in _PHRASES
    if len(line) > _MAX_CHARS:
        return False
    bare = line.strip(" *_").casefold()
    if bare in _PHRASES or (after_boilerplate and bare in _COMPANIONS):
        return True
    return bare.startswith(("©", "(c)", "copyright")) and bool(_FOOTER.fullmatch(bare))

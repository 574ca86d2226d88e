"""Frozen values that flow through a run, and their identities.

Identity is content, never position: a chunk is its text; a unit is a chunk under one recipe and its
settings; a call is the exact question. Input may be reordered, extended or split differently
between two starts, and only what is new is asked.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct
from msgspec.structs import force_setattr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "Alternative",
    "AnswerSchema",
    "ArticleVersion",
    "Chunk",
    "Completion",
    "Document",
    "Message",
    "Outcome",
    "Pair",
    "PartOrigin",
    "Prompt",
    "Rejection",
    "Request",
    "Sampling",
    "Task",
    "Template",
    "Usage",
    "Verification",
    "digest",
    "digest_with",
]

# hashlib releases the GIL while it hashes more than 2,047 bytes at once. A prompt of 2 kB takes
# 3 us on the event loop; getting the GIL back takes longer.
_PIECE_BYTES = 2047
_LONG_BYTES = 64 * 1024
_ID_BYTES = 16  # 128 bits: a collision among 10^12 ids has a chance of about 10^-15


def digest(*parts: str) -> str:
    """Return a content hash of the parts: 32 hex digits of BLAKE2b-128 over their UTF-8 bytes.

    Each part is preceded by its length, so that no two different tuples share a hash. Lone
    surrogates (allowed in JSON, not in UTF-8) are hashed in escaped form.
    """
    whole = _framed(parts)
    if len(whole) <= _PIECE_BYTES or len(whole) > _LONG_BYTES:
        return blake2b(whole, digest_size=_ID_BYTES).hexdigest()
    state = blake2b(digest_size=_ID_BYTES)
    for start in range(0, len(whole), _PIECE_BYTES):
        state.update(whole[start : start + _PIECE_BYTES])
    return state.hexdigest()


def digest_with(*tail: str) -> Callable[[str], str]:
    """Return ``part -> digest(part, *tail)`` for many plain-ASCII parts and one tail."""
    end = _framed(tail)

    def name(part: str) -> str:
        whole = b"%d:%b%b" % (len(part), part.encode("ascii"), end)
        return blake2b(whole, digest_size=_ID_BYTES).hexdigest()

    return name


def _framed(parts: tuple[str, ...]) -> bytes:
    if len(parts) == 1:
        part = parts[0].encode("utf-8", "backslashreplace")
        return b"%d:%b" % (len(part), part)
    text = "".join([f"{len(part)}:{part}" for part in parts])
    if text.isascii():
        return text.encode()
    return b"".join([_framed((part,)) for part in parts])


class ArticleVersion(Struct, frozen=True):
    """Which article a document of a followed input is a version of.

    Attributes:
        article: Digest of the article's identity.
        reading: Number of the reading of its file; a later reading has the later version.
        is_whole: The document is all of the article, not one of several in a file.
    """

    article: str
    reading: int
    is_whole: bool = True


class Document(Struct, frozen=True):
    """One article as read from a source, before or after cleaning.

    Attributes:
        id: The source's own id if it has one, else the digest of the text.
        text: The body, as Markdown-like plain text with newlines kept.
        source: Where it was read, for people: a file name, with a line or item number.
        since: Version of the reader since which its text is unchanged; see
            `pairmill.chunking.clean.READING_VERSION`.
        date: Date of publication, as given by the source.
        license: Licence as given by the source: a name or a URL.
        version: Which article it is a version of, if the input is followed.
    """

    id: str
    text: str
    source: str
    title: str | None = None
    author: str | None = None
    url: str | None = None
    language: str | None = None
    since: int = 1
    date: str | None = None
    license: str | None = None
    version: ArticleVersion | None = None


class PartOrigin(Struct, frozen=True):
    """Origin of a part of a unit, if not the document of its first part."""

    document_id: str
    source: str
    title: str | None = None
    url: str | None = None


class Chunk(Struct, frozen=True):
    """A span of one cleaned document: ``document.text[start:end] == text``, exactly.

    A unit of chunks from several documents is also one, with the first part's offsets, title and
    URL.

    Attributes:
        id: Digest of ``text`` alone.
        section: Headings above the span, outermost first.
        index: Position among the document's chunks, from 0.
        parts: For a unit of several chunks, the offsets in ``text`` at which each but the first
            begins.
        origins: For chunks of several documents, the origin of each part but the first.
        date: Date of publication, as given by the source.
        preceding: End of the text before the span in its document: whole sentences if they are
            short enough; "" at the beginning.
        license: Licence of the document, as given by the source; for several documents, their
            licences joined by `` AND ``.
    """

    id: str
    text: str
    document_id: str
    start: int
    end: int
    source: str
    index: int = 0
    section: tuple[str, ...] = ()
    title: str | None = None
    author: str | None = None
    url: str | None = None
    language: str | None = None
    parts: tuple[int, ...] = ()
    origins: tuple[PartOrigin, ...] = ()
    date: str | None = None
    preceding: str = ""
    license: str | None = None


class Message(Struct, frozen=True):
    """One turn of a prompt: role (``system``, ``user``, ``assistant``) and content."""

    role: str
    content: str


class Template(Struct, frozen=True):
    """The constant part of a prompt: every message before the last.

    It is one object for a whole run, so that its bytes and digest are computed once, and providers
    that cache prompt prefixes see the same bytes in each request.

    Attributes:
        id: Digest of all other fields; always computed.
        chars: Characters of all contents; likewise.
    """

    name: str
    version: str
    messages: tuple[Message, ...]
    id: str = ""
    chars: int = 0

    def __post_init__(self) -> None:
        turns = [part for turn in self.messages for part in (turn.role, turn.content)]
        force_setattr(self, "id", digest(self.name, self.version, *turns))
        force_setattr(self, "chars", sum(len(turn.content) for turn in self.messages))


class Sampling(Struct, frozen=True):
    """Sampling parameters."""

    temperature: float
    max_tokens: int
    seed: int | None = None


class Prompt(Struct, frozen=True):
    """A question: the constant template, and the final user message.

    Attributes:
        stage: Purpose of the question, if it differs from the template's name; not part of its
            identity.
    """

    template: Template
    text: str
    sampling: Sampling
    stage: str = ""


class AnswerSchema(Struct, frozen=True):
    """JSON schema of an answer: name, schema, and the digest of both."""

    name: str
    schema: dict[str, Any]
    id: str


class Request(Struct, frozen=True):
    """The exact question to a model.

    The structured-output mode (``json_schema``, ``json_object``, prompt) is not part of the
    identity: a bought answer stays valid when a server supports a new mode.

    Attributes:
        id: Key of the call in the ledger: digest of all other fields; always computed.
    """

    prompt: Prompt
    model: str
    schema: AnswerSchema | None = None
    id: str = ""

    def __post_init__(self) -> None:
        sampling = self.prompt.sampling
        name = digest(
            self.prompt.template.id,
            self.prompt.text,
            self.model,
            f"{sampling.temperature!r} {sampling.max_tokens} {sampling.seed}",
            self.schema.id if self.schema else "",
        )
        force_setattr(self, "id", name)


class Usage(Struct, frozen=True):
    """Tokens of one or more calls, as the server counted them.

    Attributes:
        prompt_tokens: Tokens of the whole prompt.
        completion_tokens: Tokens of the whole answer, thinking included.
        cached_tokens: Prompt tokens that were served from the provider's cache.
        reasoning_tokens: Tokens of thinking in the answer.
        cache_write_tokens: Prompt tokens that were written to the cache.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
        )


class Completion(Struct, frozen=True):
    """A model's answer: text, finish reason, model, usage, and time.

    Attributes:
        finish_reason: ``stop``, ``length``, ``content_filter``, or the server's own word.
        model: The model's name as the server returned it.
        created: Seconds since the epoch, kept in the ledger, so that a replay writes the same row.
        reasoning: The model's thinking, if the server returns it separately and it is kept.
    """

    text: str
    finish_reason: str
    model: str
    usage: Usage
    created: float
    reasoning: str = ""


class Alternative(Struct, frozen=True):
    """Another answer to a pair's instruction, for preference data.

    Attributes:
        route: ``samples``: sampled a second time from the same text; ``closed_book``: written by a
            model that did not see the text.
        score: Mean of a judge's ratings, 1 to 5; None if there is none.
    """

    answer: str
    route: str
    score: float | None = None


class Verification(Struct, frozen=True):
    """A verifier's findings about an answer, by sentence.

    Attributes:
        supported: Sentences that the chunk supports, each with a quotation that occurs in it.
        contradicted: Sentences that the chunk contradicts.
        not_in_text: Sentences that the chunk does not state.
        unproven: Sentences without a valid verdict.
        cut: Sentences that were removed from the answer, counted nowhere else.
        quotes: For each sentence asked about, in order, the quotation from the chunk; "" if there
            is none.
    """

    supported: int
    contradicted: int = 0
    not_in_text: int = 0
    unproven: int = 0
    cut: int = 0
    quotes: tuple[str, ...] = ()


Task = Literal["pair", "conversation", "text", "question"]
"""What a row trains: an instruction and its answer; several turns; plain text for continued
pretraining (in ``answer``; ``instruction`` is empty); a question with a short, checkable answer."""


class Pair(Struct, frozen=True):
    """The content of one row: an instruction and its answer, or another task's content.

    Attributes:
        instruction: The request; a conversation's first one; "" for plain text.
        answer: The reply; a conversation's first one; or the plain text.
        index: Position in its unit; with the unit's id it makes the pair's id.
        kind: Type of instruction (``how_to``, ``why`` ...), or "" if unknown.
        evidence: A short quotation from the chunk that the model gave as its basis.
        grounding: Share of the answer's content words that occur in the chunk, 0 to 1.
        flags: Names of quality findings that did not drop the pair.
        scores: A judge's ratings: aspect to 1 to 5, or None for a missing one.
        parent: Position in its unit of the pair that this one was evolved from.
        alternative: Another answer to the same instruction.
        task: What the row trains.
        messages: All turns of a conversation, without its system message; else empty.
        system: The system message to train with; "" if there is none.
        reasoning: The thought that leads to the answer; "" if there is none.
        fields: The recipe's own columns, by name: text, numbers, booleans, lists of these.
        support: How well the chunk supports the answer, 0 to 1; None if unknown.
        verification: A verifier's findings; None if there was no verifier.
    """

    instruction: str
    answer: str
    index: int
    kind: str = ""
    evidence: str = ""
    grounding: float | None = None
    flags: tuple[str, ...] = ()
    scores: dict[str, float | None] | None = None
    parent: int | None = None
    alternative: Alternative | None = None
    task: Task = "pair"
    messages: tuple[Message, ...] = ()
    system: str = ""
    reasoning: str = ""
    fields: Mapping[str, Any] | None = None
    support: float | None = None
    verification: Verification | None = None


class Outcome(StrEnum):
    """How a unit ended. All three are final until a retry is requested."""

    WRITTEN = "written"  # at least one pair is in a shard
    EMPTY = "empty"  # the model rightly wrote nothing: a junk chunk
    REJECTED = "rejected"  # no valid answer; a tombstone


class Rejection(Struct, frozen=True):
    """A unit or a single pair that was dropped, kept in ``rejected/`` for people to read.

    Attributes:
        reason: A short stable word, such as ``invalid_json`` or ``ungrounded``.
        detail: One line for people.
        raw: The model's unchanged text.
        whole_unit: True if the unit ended with it; False if only one of its pairs was dropped.
        grounding: Of the pair, where it was measured before it was dropped; see ``Pair``.
        support: Likewise.
    """

    reason: str
    detail: str = ""
    raw: str = ""
    whole_unit: bool = True
    grounding: float | None = None
    support: float | None = None

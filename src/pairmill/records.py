"""The frozen values that flow through a run, and how each gets its identity.

Identity is content, never position: a chunk is its text; a unit is a chunk under one recipe and its
settings; a call is the exact question. Input may be reordered, extended or cut differently between
two starts, and only what is new is asked.
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

# hashlib lets other threads run while it hashes more than 2,047 bytes at once. A prompt of 2 kB
# takes 3 us on the event loop, and longer than that to get its turn back.
_PIECE_BYTES = 2047
_LONG_BYTES = 64 * 1024
_ID_BYTES = 16  # 128 bits: a collision among 10^12 ids has a chance of about 10^-15


def digest(*parts: str) -> str:
    """Name the parts by content: 32 hex digits of BLAKE2b-128 over their UTF-8 bytes.

    Each part is preceded by its length, so that no two different tuples share a name. Lone
    surrogates (which JSON may carry, and UTF-8 may not) are hashed as their escaped form.
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


class Document(Struct, frozen=True):
    """One article as read from a source, before or after cleaning.

    Attributes:
        id: The source's own id where it has one, else the digest of the text.
        text: The body, as Markdown-like plain text with newlines kept.
        source: Where it was read, for people: a file name, with a line or item number.
        since: The version of reading since which its text comes out as it does; see
            `pairmill.chunking.clean.READING_VERSION`.
        date: When it was published, as the source says it.
        license: Its licence as the source says it: a name, or the address of one.
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


class PartOrigin(Struct, frozen=True):
    """Where a part of a unit comes from, if not from the document of its first part."""

    document_id: str
    source: str
    title: str | None = None
    url: str | None = None


class Chunk(Struct, frozen=True):
    """A span of one cleaned document: ``document.text[start:end] == text``, exactly.

    A unit of chunks of several documents is one too: its place, title and URL are its first part's.

    Attributes:
        id: Digest of ``text`` alone.
        section: Headings that the span stands under, outermost first.
        index: Position among the document's chunks, from 0.
        parts: Of several chunks that make one unit, where in ``text`` each but the first begins.
        origins: Of chunks of several documents, where each part but the first comes from.
        date: When the document was published, as its source says it.
        preceding: The end of what stands before the span in its document: whole sentences where
            they are short enough; "" at the beginning.
        license: The document's, as its source says it; of several documents, all of theirs joined
            by `` AND ``.
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

    It is one object for a whole run, so that its bytes and its digest are computed once, and so
    that providers which cache prompt prefixes see the same bytes in each request.

    Attributes:
        id: Digest of all the others; computed, whatever is given.
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
    """How the model is to draw its tokens."""

    temperature: float
    max_tokens: int
    seed: int | None = None


class Prompt(Struct, frozen=True):
    """A question: the constant template, and the one user message that ends it.

    Attributes:
        stage: What it is for, where that is not the template's name; no part of its identity.
    """

    template: Template
    text: str
    sampling: Sampling
    stage: str = ""


class AnswerSchema(Struct, frozen=True):
    """The JSON schema that an answer must fit: a name, the schema, and the digest of both."""

    name: str
    schema: dict[str, Any]
    id: str


class Request(Struct, frozen=True):
    """Exactly what is asked of a model.

    The way in which a schema reaches the server (``json_schema``, ``json_object``, by words) is no
    part of the identity: an answer stays bought when a server learns a new mode.

    Attributes:
        id: Names the call in the ledger: digest of all the others; computed, whatever is given.
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
        prompt_tokens: Of the whole prompt.
        completion_tokens: Of the whole answer, thoughts included.
        cached_tokens: The part of the prompt that the provider's cache served.
        reasoning_tokens: The part of the answer that was thought, not written.
        cache_write_tokens: The part of the prompt that the cache took in.
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
    """What a model answered: the text, why it ended, who answered, what it cost, and when.

    Attributes:
        finish_reason: ``stop``, ``length``, ``content_filter``, or what the server said.
        model: The model's name as the server returned it.
        created: Seconds since the epoch, kept in the ledger, so that a replay writes the same row.
        reasoning: What the model thought, where the server tells it apart and it is kept.
    """

    text: str
    finish_reason: str
    model: str
    usage: Usage
    created: float
    reasoning: str = ""


class Alternative(Struct, frozen=True):
    """Another answer to a pair's instruction, to prefer the one or the other.

    Attributes:
        route: ``samples``: drawn a second time from the same text; ``closed_book``: written by a
            model that did not see the text.
        score: Mean of a judge's ratings, 1 to 5; None where there is none.
    """

    answer: str
    route: str
    score: float | None = None


class Verification(Struct, frozen=True):
    """What a verifier found of an answer, sentence by sentence.

    Attributes:
        supported: Sentences that the chunk bears out, each by a quotation that stands in it.
        contradicted: Sentences of which it says the opposite.
        not_in_text: Sentences that it does not say.
        unproven: Sentences without a verdict that counts.
        cut: Sentences that were taken out of the answer, counted nowhere else.
        quotes: Of each sentence that was asked about, in order, the words of the chunk that bear
            on it; "" where there are none.
    """

    supported: int
    contradicted: int = 0
    not_in_text: int = 0
    unproven: int = 0
    cut: int = 0
    quotes: tuple[str, ...] = ()


Task = Literal["pair", "conversation", "text", "question"]
"""What a row trains: an instruction and its answer; several turns; plain text for continued
pretraining (``answer`` holds it, ``instruction`` is empty); a question whose short answer can be
checked."""


class Pair(Struct, frozen=True):
    """What becomes one row: an instruction and its answer, or another task's content.

    Attributes:
        instruction: Of a conversation, its first request; "" for plain text.
        answer: Of a conversation, the first reply; of plain text, the text.
        index: Position in its unit; with the unit's id it makes the pair's id.
        kind: What sort of instruction it is (``how_to``, ``why`` ...), or "" where none was said.
        evidence: A short string that the model copied from the chunk to show where it looked.
        grounding: Share of the answer's content words that stand in the chunk, 0 to 1.
        flags: Names of quality findings that did not drop the pair.
        scores: What a judge said: aspect to rating from 1 to 5, or None where it said nothing.
        parent: Position in its unit of the pair that this one was evolved from.
        alternative: Another answer to the same instruction.
        task: What the row trains.
        messages: Every turn of a conversation, without its system message; else empty.
        system: The system message to train with; "" where there is none.
        reasoning: The thought that leads to the answer; "" where none was written.
        fields: What else a recipe says, by name: text, numbers, truth values, lists of these.
        support: How well the chunk backs the answer up, 0 to 1; None where it cannot be told.
        verification: What a verifier found; None where none was asked.
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
    """How a unit ended. All three are final until someone asks to retry."""

    WRITTEN = "written"  # at least one pair stands in a shard
    EMPTY = "empty"  # the model rightly wrote nothing: a junk chunk
    REJECTED = "rejected"  # no valid answer; a tombstone


class Rejection(Struct, frozen=True):
    """A unit or a single pair that was dropped, kept in ``rejected/`` for a person to read.

    Attributes:
        reason: A short stable word, such as ``invalid_json`` or ``ungrounded``.
        detail: One line for people.
        raw: What the model wrote, as it wrote it.
        whole_unit: The unit ended with it; False where only one pair of it was dropped.
    """

    reason: str
    detail: str = ""
    raw: str = ""
    whole_unit: bool = True

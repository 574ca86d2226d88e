"""Parses a dataset's records, whatever tool made it and whatever its fields are called.

Known: instruction/answer under their usual names (Alpaca with ``input`` and ``history``, Dolly with
``context``, FLAN, SQuAD, self-instruct), every form of turns (``messages``, ShareGPT
``conversations``, Gemini ``contents``, content parts, tool calls), preferences (``chosen`` beside a
prompt, a history or by itself; KTO's ``label``; OpenAI's ``preferred_output``), and transcripts in
one string (Human:/Assistant:, ChatML, [INST], ### Instruction:).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.output.rows import Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["SPLITS", "Fields", "PairRow", "read_record", "to_pair", "unread_fields"]

_ASKED = (
    "instruction", "question", "prompt", "query", "problem", "user", "human",
    "inputs_pretokenized", "input", "inputs",
)  # fmt: skip
_SAID = (
    "answer", "output", "response", "completion", "chosen", "assistant", "reply",
    "targets_pretokenized", "targets", "target", "solution", "best_answer",
)  # fmt: skip
_PASSAGES = ("context", "passage", "article", "document", "background", "knowledge", "reference")
_SYSTEMS = (
    "system", "system_prompt", "system_message", "systemInstruction", "system_instruction",
)  # fmt: skip
_TURNS = (
    "messages", "conversations", "conversation", "dialog", "dialogue", "turns", "contents",
    "items", "chat",
)  # fmt: skip
_ASKS = ("human", "user", "input", "question", "prompt", "instruction")  # of a two-sided turn
_SAYS = ("assistant", "gpt", "bot", "output", "answer", "response")
_TOOLS = ("tools", "functions", "function", "tool_definitions")
_USERS = frozenset({"user", "human", "prompter", "instruction", "customer", "client"})
_MODELS = frozenset({"assistant", "gpt", "model", "bot", "chatgpt", "ai", "agent", "chosen"})
_SYSTEM_ROLES = frozenset({"system", "developer"})
_CALL_ROLES = frozenset({"function_call", "tool_call", "function-call"})
_TOOL_ROLES = frozenset(
    {"tool", "function", "observation", "ipython", "tool_response", "function_response"}
)
SPLITS = {
    "train": "train", "training": "train", "test": "test", "eval": "test", "validation":
    "validation", "valid": "validation", "val": "validation", "dev": "validation",
}  # fmt: skip
"""What files, columns and keys call a split, to its name."""

# Where one side's turn begins in a transcript; the first group is the user, the second the model.
_TRANSCRIPTS = (
    re.compile(r"(?:(?:^|\n)\s*|### )(Human|User):|(?:(?:^|\n)\s*|### )(Assistant|AI|Bot):"),
    re.compile(
        r"<\|(?:im_start\|>|start_header_id\|>)?(user|prompter|human)(?:\|>|<\|end_header_id\|>|\n)"
        r"|<\|(?:im_start\|>|start_header_id\|>)?(assistant|model)(?:\|>|<\|end_header_id\|>|\n)"
    ),
    re.compile(r"(\[INST\])|(\[/INST\])"),
    re.compile(r"(?:^|\n)### (Instruction):|(?:^|\n)### (Response):"),
)
_MARKUP = re.compile(
    r"<\|(?:im_end|eot_id|end|endoftext|end_of_text)\|>|<\|im_start\|>|</?s>|<<SYS>>.*?<</SYS>>",
    re.DOTALL,
)
_THOUGHT = re.compile(
    r"\s*(?:<think(?:ing)?>.*?</think(?:ing)?>"
    r"|<\|begin_of_thought\|>.*?<\|end_of_thought\|>\s*(?:<\|begin_of_solution\|>)?)\s*",
    re.DOTALL,
)
_SOLVED = re.compile(r"\s*<\|end_of_solution\|>\s*\Z")
_SCORES = ("fine-grained_score", "overall_score", "score")  # of candidate replies, the first known
_DEEPEST = 500  # turns of a tree
_TURN_PAIR = 2
_LEAST_UNREAD = 40  # characters of a field from which on it is worth saying that nobody read it
_KNOWN_EXTRAS = frozenset(
    {"id", "source", "url", "title", "model", "kind", "recipe", "created", "document_id", "split",
     "chunk_id", "prompt_id", "evidence", "category", "dataset", "hash", "uuid", "rejected",
     "rejected_response", "non_preferred_output", "prompt", "reasoning", "license", "language"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fields:
    """Names of the fields to read, dotted for nested ones (``instances.0.output``).

    None: found by their usual names.
    """

    instruction: str | None = None
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class PairRow:
    """One record of a dataset.

    Attributes:
        instruction: The first request, with its input or context; "" for plain text.
        answer: The first reply, or the plain text.
        split: ``train``, ``validation``, ``test``, or None if none is told.
        task: ``pair``, ``conversation``, ``text`` or ``question``.
        further: The later requests of a conversation, each with its reply.
        passage: A text of the record's own that the answer should rest on, as Dolly's ``context``.
        material: A text that the instruction works on, as Alpaca's ``input``.
        surroundings: The system message and what tools returned.
        has_tools: Tools are offered or called in it.
        has_thought: A reply began with a thought, which was left out.
        is_chat: It came as turns.
        is_wanted: False if it is labelled as an answer to avoid.
        is_choice: The answer is the chosen one of several.
        is_from_text: It names the text that it was written from, as a run of pairmill does.
        document: Id of the document that this text is from; "" if unknown.
        verified: Sentences that a verifier was asked about, and those that it did not find
            supported; None if none was asked.
        is_found: The answer is a passage that the instruction is to find, with others that it is
            not to find: of a document word for word.
        place: Where it is.
    """

    instruction: str
    answer: str
    split: str | None = None
    task: str = "pair"
    further: tuple[tuple[str, str], ...] = ()
    passage: str = field(default="", compare=False)
    material: str = field(default="", compare=False)
    surroundings: str = field(default="", compare=False)
    has_tools: bool = field(default=False, compare=False)
    has_thought: bool = field(default=False, compare=False)
    is_chat: bool = field(default=False, compare=False)
    is_wanted: bool = field(default=True, compare=False)
    is_choice: bool = field(default=False, compare=False)
    is_from_text: bool = field(default=False, compare=False)
    document: str = field(default="", compare=False)
    verified: tuple[int, int] | None = field(default=None, compare=False)
    is_found: bool = field(default=False, compare=False)
    place: Place = field(default=Place(), compare=False)

    @property
    def exchanges(self) -> tuple[tuple[str, str], ...]:
        """Every request with its reply."""
        return ((self.instruction, self.answer), *self.further)

    @property
    def request(self) -> str:
        """First request without the text that it includes."""
        bare = self.instruction
        for text in (self.passage, self.material):
            if text:
                bare = bare.removesuffix(text).rstrip()
        return bare

    @property
    def key_text(self) -> str:
        """Text that identifies the record: its requests, or the plain text."""
        if not self.instruction:
            return self.answer
        return "\n".join(dict.fromkeys(asked for asked, _ in self.exchanges))


@dataclass(slots=True)
class _Talk:
    """The turns of one record, sorted by who speaks."""

    exchanges: list[tuple[str, str]] = field(default_factory=list)
    surroundings: list[str] = field(default_factory=list)
    asked: str = ""
    has_tools: bool = False
    thinks: bool = False

    def _without_thought(self, text: str) -> str:
        bare = without_thought(text)
        self.thinks = self.thinks or len(bare) < len(text)
        return bare

    def take(self, role: str, text: str, *, is_call: bool) -> None:
        if role in _USERS:
            self.asked = text
        elif role in _CALL_ROLES or is_call:
            self.has_tools = True
            if role in _MODELS and text.strip():
                self.exchanges.append((self.asked, text))
        elif role in _MODELS:
            text = self._without_thought(text)
            if self.asked or self.surroundings:
                self.exchanges.append((self.asked, text))
        elif role in _TOOL_ROLES:
            self.has_tools = True
            self.surroundings.append(text)
        elif role in _SYSTEM_ROLES:
            self.surroundings.append(text)


def without_thought(text: str) -> str:
    """Return a reply without the thought in front of it; one that does not end stays."""
    found = _THOUGHT.match(text)
    return _SOLVED.sub("", text[found.end() :]) if found else text


def read_record(record: object, fields: Fields, split: str | None, place: Place) -> PairRow | None:
    """Parse the record at a place, or return None; see `to_pair`."""
    row = to_pair(record, fields, split) if isinstance(record, dict) else None
    if row is None or not isinstance(record, dict):
        return None
    is_ours = bool(record.get("chunk_id"))
    verified = _verified(record.get("verification")) if is_ours else None
    document = record.get("document_id") if is_ours else None
    return replace(
        row,
        place=place,
        is_from_text=is_ours,
        document=document if isinstance(document, str) else "",
        verified=verified,
    )


def _verified(found: object) -> tuple[int, int] | None:
    """Return how many sentences a verifier was asked about, and how many were unsupported."""
    if not isinstance(found, dict):
        return None
    counts = [
        value if isinstance(value := found.get(name), int) and value >= 0 else 0
        for name in ("supported", "contradicted", "not_in_text", "unproven")
    ]
    return (sum(counts), sum(counts[1:])) if any(counts) else None


def to_pair(record: Mapping[str, Any], fields: Fields, split: str | None) -> PairRow | None:
    """Parse a record; None if it holds neither a request with a reply nor plain text."""
    split = SPLITS.get(str(record.get("split", "")).lower(), split)
    if fields.instruction or fields.answer:
        return _from_names(record, fields, split)
    turns = next((record[name] for name in _TURNS if _is_turns(record.get(name))), None)
    turns = turns or _branch(record.get("prompt"))
    is_choice, found = _from_preference(record, turns, split)
    prompt, completion = record.get("prompt"), record.get("completion")
    if not is_choice and _is_turns(prompt) and _is_turns(completion):
        found = _from_turns(record, [*_as_turns(prompt), *_as_turns(completion)], split)
    elif not is_choice and turns is not None:
        found = _from_turns(record, turns, split)
    if is_choice or found:
        return found
    text = record.get("answer") if record.get("task") == "text" else record.get("text")
    if isinstance(text, str) and not any(isinstance(record.get(name), str) for name in _ASKED):
        talk = _transcript(text) if record.get("task") != "text" else None
        return _from_talk(record, talk, split) if talk else PairRow("", text, split, "text")
    return _from_names(record, fields, split)


def _from_preference(
    record: Mapping[str, Any], turns: list[Any] | None, split: str | None
) -> tuple[bool, PairRow | None]:
    """Return whether turns or a transcript were chosen over others, and their pair."""
    chosen = record.get("chosen")
    if isinstance(chosen, str) and (talk := _transcript(chosen)):
        return True, _last(_from_talk(record, talk, split, is_choice=True))
    if (best := _best_reply(record)) and isinstance(asked := record.get("instruction"), str):
        exchange = [{"role": "user", "content": asked}, {"role": "assistant", "content": best}]
        return True, _last(_from_turns(record, exchange, split))
    wanted, asked = record.get("preferred_output"), record.get("input")
    if isinstance(wanted, list) and isinstance(asked, dict):
        return True, _last(_from_turns(record, [*asked.get("messages", []), *wanted], split))
    if isinstance(chosen, list) and _is_turns(chosen):
        before = _as_turns(record.get("prompt")) or turns or []
        if any(_role(turn) in _USERS for turn in _as_turns(chosen)):
            before = [turn for turn in before if _role(turn) in _SYSTEM_ROLES]
        return True, _last(_from_turns(record, [*before, *chosen], split))
    if isinstance(chosen, dict | str) and turns:
        said = chosen if isinstance(chosen, dict) else {"content": chosen}
        return True, _last(_from_turns(record, [*turns, {"role": "assistant"} | said], split))
    return False, None


def _last(row: PairRow | None) -> PairRow | None:
    """Of a preference, the reply that was chosen: what came before it is its history."""
    if row is None:
        return None
    asked, said = row.exchanges[-1]
    history = "\n".join("\n".join(exchange) for exchange in row.exchanges[:-1])
    around = "\n".join(filter(None, (row.surroundings, history)))
    return replace(
        row,
        instruction=asked,
        answer=said,
        further=(),
        task="conversation" if history else "pair",
        surroundings=around,
        is_choice=True,
    )


def unread_fields(record: Mapping[str, Any], row: PairRow) -> list[str]:
    """Return the names of a record's text fields that no exchange was read from."""
    known = {*_ASKED, *_SAID, *_PASSAGES, *_SYSTEMS, *_TURNS, *_TOOLS, *_KNOWN_EXTRAS}
    read = f"{row.instruction}\n{row.answer}\n{row.passage}\n{row.surroundings}"
    return [
        str(name)
        for name, value in record.items()
        if name not in known
        and isinstance(value, str)
        and len(value) >= _LEAST_UNREAD
        and " " in value
        and value.strip() not in read
        and not (row.is_chat and _transcript(value))
    ]


def _from_names(record: Mapping[str, Any], fields: Fields, split: str | None) -> PairRow | None:
    asked = _first(record, (fields.instruction,) if fields.instruction else _ASKED, _USERS)
    said = _first(record, (fields.answer,) if fields.answer else _SAID, _MODELS)
    material = record.get("input")
    instances = record.get("instances")
    if said is None and not fields.answer:
        if isinstance(instances, list) and instances and isinstance(instances[0], dict):
            material, said = instances[0].get("input"), _text(instances[0].get("output"))
        elif "answers" in record:
            said = _answers(record["answers"])
    if not asked or said is None:
        return None
    whole, said = said, said if record.get("chunk_id") else without_thought(said)
    dialog = _transcript(f"{asked}{said}") if _ends_open(asked) else None
    if dialog:
        return _from_talk(record, dialog, split, is_choice="rejected" in record)
    more = material if isinstance(material, str) and material.strip() else ""
    if fields.instruction == "input" or more == asked:
        more = ""
    passage = next(
        (value for name in _PASSAGES if isinstance(value := record.get(name), str) and value), ""
    )
    system = _system(record)
    before = _history(record.get("history"))
    parts = [asked, *(part for part in (more, passage) if part and part not in asked)]
    here = ("\n\n".join(parts), said)
    exchanges = [*before, here]
    label = record.get("label")
    return PairRow(
        *exchanges[0],
        split,
        str(record.get("task") or "pair") if not before else "conversation",
        tuple(exchanges[1:]),
        passage=passage,
        material=more,
        surroundings=system,
        has_tools=_offers_tools(record),
        has_thought=len(said) < len(whole),
        is_wanted=label is not False,
        is_choice="rejected" in record,
        is_found=_has_negatives(record),
    )


def _has_negatives(record: Mapping[str, Any]) -> bool:
    own = record.get("fields")
    places = (record, own if isinstance(own, dict) else {})
    return any(isinstance(place.get("negatives"), list) for place in places)


def _from_turns(
    record: Mapping[str, Any], turns: Sequence[Any], split: str | None
) -> PairRow | None:
    talk = _Talk()
    for turn in _as_turns(turns):
        text, is_call = _content(turn)
        talk.take(_role(turn), text, is_call=is_call)
    return _from_talk(record, talk, split)


def _from_talk(
    record: Mapping[str, Any], talk: _Talk, split: str | None, *, is_choice: bool = False
) -> PairRow | None:
    if not talk.exchanges:
        if not (talk.has_tools and talk.asked):
            return None
        talk.exchanges.append((talk.asked, ""))  # nothing but calls: no reply to judge
    own = str(record.get("task") or "pair")
    return PairRow(
        *talk.exchanges[0],
        split,
        "conversation" if len(talk.exchanges) > 1 else own,
        tuple(talk.exchanges[1:]),
        passage=next(
            (value for name in _PASSAGES if isinstance(value := record.get(name), str)), ""
        ),
        surroundings="\n".join(filter(None, (_system(record), *talk.surroundings))),
        has_tools=talk.has_tools or _offers_tools(record),
        has_thought=talk.thinks,
        is_chat=True,
        is_wanted=record.get("label") is not False,
        is_choice=is_choice,
    )


def _branch(value: object) -> list[Any] | None:
    """Return the best-ranked turns of a tree (OASST's), from its root on; None if it is none."""
    turns: list[Any] = []
    while isinstance(value, dict) and len(turns) < _DEEPEST:
        turns.append(value)
        replies = value.get("replies")
        given = replies if isinstance(replies, list) else []
        value = min((one for one in given if isinstance(one, dict)), key=_rank, default=None)
    return turns if len(turns) > 1 else None


def _rank(reply: Mapping[str, Any]) -> float:
    rank = reply.get("rank")
    return rank if isinstance(rank, int | float) else float("inf")


def _best_reply(record: Mapping[str, Any]) -> str | None:
    """Return the best-rated of several replies (UltraFeedback's), or None if none is rated."""
    given = record.get("completions")
    rated: list[tuple[float, str]] = []
    for one in given if isinstance(given, list) else ():
        said = one.get("response") if isinstance(one, dict) else None
        marks = (
            [one[name] for name in _SCORES if isinstance(one.get(name), int | float)]
            if said
            else []
        )
        if isinstance(said, str) and marks:
            rated.append((marks[0], said))
    return max(rated, key=lambda one: one[0])[1] if rated else None


def _is_turns(value: object) -> bool:
    return bool(_as_turns(value)) if isinstance(value, list) else False


def _as_turns(value: object) -> list[dict[str, Any]]:
    """Normalize a list of turns to dicts with a role; accepts strings and two-sided dicts."""
    if not isinstance(value, list):
        return []
    if value and all(isinstance(entry, str) for entry in value):
        if len(value) < _TURN_PAIR:
            return []
        return [
            {"role": "assistant" if at % 2 else "user", "content": entry}
            for at, entry in enumerate(value)
        ]
    turns: list[dict[str, Any]] = []
    for entry in value:
        if not isinstance(entry, dict):
            continue
        if _role(entry):
            turns.append(entry)
            continue
        user = next((entry[name] for name in _ASKS if name in entry), None)
        model = next((entry[name] for name in _SAYS if name in entry), None)
        if user is not None and model is not None:
            turns += [{"role": "user", "content": user}, {"role": "assistant", "content": model}]
    return turns


def _role(turn: Mapping[str, Any]) -> str:
    role = turn.get("role", turn.get("from", turn.get("speaker", turn.get("author"))))
    if isinstance(role, dict):
        role = role.get("role")
    return role.lower() if isinstance(role, str) else ""


def _content(turn: Mapping[str, Any]) -> tuple[str, bool]:
    """Return a turn's text, and whether it calls a tool."""
    is_call = bool(turn.get("tool_calls") or turn.get("function_call"))
    for name in ("content", "value", "text", "parts"):
        if turn.get(name) is None:
            continue
        parts = turn[name]
        if isinstance(parts, list):
            is_call = is_call or any(
                isinstance(part, dict)
                and ("functionCall" in part or part.get("type") in {"tool_use", "function_call"})
                for part in parts
            )
        return _text(parts) or "", is_call
    return "", is_call


def _text(value: object) -> str | None:
    """Return the text of a value: a string, content parts, or a dict that holds one of them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        found = [text for part in value if (text := _text(part)) is not None]
        return "\n".join(found) if found or not value else None
    if isinstance(value, dict):
        for name in ("text", "parts", "content", "value"):
            if name in value:
                return _text(value[name])
        if "functionResponse" in value:
            return orjson.dumps(value["functionResponse"]).decode()
    return None


def _answers(value: object) -> str | None:
    """Return the first of SQuAD's answers, or of a list of them."""
    texts = value.get("text") if isinstance(value, dict) else value
    if isinstance(texts, list) and texts:
        return _text(texts[0])
    return texts if isinstance(texts, str) else None


def _history(value: object) -> list[tuple[str, str]]:
    if not isinstance(value, list):
        return []
    return [
        (str(entry[0]), str(entry[1]))
        for entry in value
        if isinstance(entry, list | tuple) and len(entry) == _TURN_PAIR
    ]


def _system(record: Mapping[str, Any]) -> str:
    for name in _SYSTEMS:
        text = _text(record.get(name))
        if text:
            return text
    return ""


def _offers_tools(record: Mapping[str, Any]) -> bool:
    return any(record.get(name) not in (None, "", [], "[]") for name in _TOOLS)


def _first(record: Mapping[str, Any], names: Sequence[str], roles: frozenset[str]) -> str | None:
    for name in names:
        value = _dig(record, name)
        if isinstance(value, str):
            return value
        if isinstance(value, list):
            turns = [turn for turn in _as_turns(value) if _role(turn) in roles]
            if turns or not all(isinstance(one, int | float) for one in value):
                return _content(turns[-1])[0] if turns else None
            continue  # numbers of tokens: the text is under another name
        if isinstance(value, bool) or not isinstance(value, int | float | dict):
            continue
        if isinstance(value, dict):
            text = _text(value)
            if text is not None:
                return text
        elif name != "target":
            return str(value)
    return None


def _dig(record: Any, name: str) -> Any:
    """Return the value under a name, or under a dotted path."""
    if isinstance(record, dict) and name in record:
        return record[name]
    for part in name.split("."):
        if isinstance(record, dict):
            record = record.get(part)
        elif isinstance(record, list) and part.isdigit() and int(part) < len(record):
            record = record[int(part)]
        else:
            return None
    return record


def _ends_open(asked: str) -> bool:
    """Return whether a prompt ends at the model's turn of a transcript."""
    tail = asked.rstrip()[-24:]
    return tail.endswith(("Assistant:", "[/INST]", "### Response:", "assistant", "assistant|>"))


def _transcript(text: str) -> _Talk | None:
    """Parse the turns of a conversation in one string; None if it is not one."""
    for pattern in _TRANSCRIPTS:
        marks = list(pattern.finditer(text))
        if not any(mark.group(1) for mark in marks) or not any(mark.group(2) for mark in marks):
            continue
        talk = _Talk()
        lead = _MARKUP.sub("", text[: marks[0].start()]).strip()
        if lead:
            talk.surroundings.append(lead)
        ends = [mark.start() for mark in marks[1:]] + [len(text)]
        for mark, end in zip(marks, ends, strict=True):
            said = _MARKUP.sub("", text[mark.end() : end]).strip()
            talk.take("user" if mark.group(1) else "assistant", said, is_call=False)
        return talk if talk.exchanges else None
    return None

"""Settings: one model, the same names in the file, the flags and the library.

A file may put them into groups (`pairmill.reference`); the model itself is flat.

Precedence: defaults, then the YAML file, then what the caller gives. A key is never a setting; its
place in the environment is (``api_key_env``).
"""

from __future__ import annotations

import difflib
import math
import os
import re
import warnings
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from pairmill.errors import ConfigError
from pairmill.partition import parse_partition
from pairmill.plain import plain
from pairmill.reference import flatten, put_at

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "LOCAL",
    "PlanSettings",
    "PoolSettings",
    "RequestSettings",
    "Settings",
    "fingerprint",
    "is_local_model",
    "is_recipe_file",
    "load",
    "read_file",
]

LOCAL = "local"  # --model local: the embedded model; local:PATH for any other GGUF file


_PREFIX = "PAIRMILL__"


def is_local_model(model: str) -> bool:
    """Whether a model's name means that the embedded server answers."""
    return model == LOCAL or model.startswith(f"{LOCAL}:")


RENAMED = {"max_tokens": "max_total_tokens"}
"""Settings of earlier versions, and what they are called today."""

_WHY_RENAMED = {
    "max_tokens": "it caps the tokens of the whole run, not the length of an answer",
}


def _as_word(value: object) -> object:
    """YAML reads a bare ``off`` and ``on`` as false and true."""
    return ("on" if value else "off") if isinstance(value, bool) else value


def _as_text(value: object) -> object:
    """YAML reads a bare port as a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_weights(value: object) -> object:
    """A list of texts weighs all the same."""
    return dict.fromkeys(value, 1.0) if isinstance(value, list | tuple) else value


Switch = BeforeValidator(_as_word)
PerMinute = Annotated[float, Field(gt=0, allow_inf_nan=False)]


Reasoning = Annotated[Literal["auto", "off", "low", "medium", "high"], Switch]


class RequestSettings(BaseModel):
    """What is sent with each call beside pairmill's own words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    body: dict[str, Any] = {}
    """Fields of the JSON body; they win over those of pairmill."""
    headers: dict[str, str] = {}
    """Headers; ``${NAME}`` stands for an environment variable, so that no secret is a setting."""
    query: dict[str, str] = {}
    """Parameters of the address, such as ``api-version``."""

    @model_validator(mode="after")
    def _leaves_ours_alone(self) -> RequestSettings:
        for name, setting in _OWN_FIELDS.items():
            if name in self.body:
                msg = f"body.{name}: is pairmill's own; {setting}"
                raise ValueError(msg)
        for name, value in self.headers.items():
            if _SECRET_HEADER.search(name) and "${" not in value:
                msg = f"headers.{name}: put the secret into the environment and write ${{NAME}}"
                raise ValueError(msg)
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or not value.isprintable():
                msg = f"headers.{name}: is no header"
                raise ValueError(msg)
        return self

    def with_own(self, own: RequestSettings | None) -> RequestSettings:
        """These, and a pool's own over them."""
        if own is None:
            return self
        return RequestSettings(
            body={**self.body, **own.body},
            headers={**self.headers, **own.headers},
            query={**self.query, **own.query},
        )


_OWN_FIELDS = {
    "model": "use the setting model",
    "messages": "the recipe writes them",
    "stream": "answers are read whole",
    "n": "one answer is read",
    "response_format": "use structured_output",
}
_SECRET_HEADER = re.compile(r"authorization|key|token|secret|cookie", re.IGNORECASE)


class PoolSettings(BaseModel):
    """One endpoint, key and model of several. What is None is taken from the run's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    name: str = Field(min_length=1, max_length=40)
    base_url: str | None = None
    api_key_env: str | None = None
    model: str | None = None
    concurrency: int | None = Field(None, ge=1, le=16384)
    rpm: PerMinute | None = None
    tpm: PerMinute | None = None
    input_tpm: PerMinute | None = None
    output_tpm: PerMinute | None = None
    charge: Literal["actual", "reconciled", "reserved"] | None = None
    scope: str | None = None
    """Pools with the same scope share one quota, such as two keys of one organisation."""
    provider: str | None = None
    request: RequestSettings | None = None
    """Added to the run's own, and wins over it."""
    reasoning: Reasoning | None = None
    service_tier: str | None = None
    escalation: bool = False
    """Only for units that failed on the other pools."""


Weights = Annotated[
    dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]], BeforeValidator(_as_weights)
]
"""Texts with their weights; a list weighs all the same."""


class PlanSettings(BaseModel):
    """What the plan of a chunk's pairs is drawn from; what is None stays as it is built in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    types: Weights | None = None
    """Sorts of instruction."""
    askers: Weights | None = None
    """Who asks; one for all pairs of a chunk."""
    difficulties: Weights | None = None
    forms: Weights | None = None
    """How a request is put."""
    answers: Weights | None = None
    """Forms of the answer: prose, list, steps, table, code."""
    lengths: Weights | None = None
    """About how long the answer is, in words of one's own."""

    @model_validator(mode="after")
    def _something_to_draw(self) -> PlanSettings:
        for name in ("types", "askers", "difficulties", "forms", "answers", "lengths"):
            given = getattr(self, name)
            if given is not None and not sum(given.values()):
                msg = f"{name}: needs at least one text with a weight above 0"
                raise ValueError(msg)
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what an earlier version did not know and is not set: a folder compares them."""
        values: dict[str, Any] = handler(self)
        later = ("answers", "lengths")
        return {name: value for name, value in values.items() if value or name not in later}


class Settings(BaseModel):
    """Everything that a run can be told.

    Fields marked ``semantic`` decide what the pairs are; when one of them changes, an existing run
    folder asks for ``accept_change``. All others may change between two starts of one run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    inputs: tuple[str, ...] = ()
    """Files, folders, URLs, or ``-`` for standard input."""
    output: Path = Path("dataset")
    """The run folder."""

    partition: str | None = Field(None, json_schema_extra={"semantic": True})
    """The part of the chunks that this process works on, as ``INDEX/COUNT`` from ``0/COUNT`` on;
    ``auto/COUNT`` or ``auto`` take it from the environment. Its folder lies in ``output``."""

    export: str | None = None
    """A training format to which the run is exported, beside its folder, once it has ended."""

    companions: tuple[str, ...] = ()
    """Coroutines of your own beside the run, as ``package.module:name`` or ``FILE.py:name``; see
    docs/companions.md."""
    status: Annotated[str | None, BeforeValidator(_as_text)] = None
    """Where a status server listens while the run lasts: ``PORT``, ``HOST:PORT``."""
    status_hosts: tuple[str, ...] = ()
    """Names, beside addresses and this machine's own, under which it may be asked."""
    status_linger_s: float = Field(0.0, ge=0, le=3600, allow_inf_nan=False)
    """How long it waits at the end for one more scrape of its metrics."""

    text_field: str | None = Field(None, json_schema_extra={"semantic": True})
    """Name of the field that holds a record's text; found by itself where None."""
    chunk_min_chars: int = Field(800, ge=1, json_schema_extra={"semantic": True})
    chunk_target_chars: int = Field(1800, ge=1, json_schema_extra={"semantic": True})
    chunk_max_chars: int = Field(2800, ge=16, json_schema_extra={"semantic": True})
    tokenizer: Path | None = Field(None, json_schema_extra={"semantic": True})
    """A ``tokenizer.json``: chunks are measured by its tokens, and ``chunk_*_tokens`` hold."""
    chunk_min_tokens: int = Field(200, ge=1, json_schema_extra={"semantic": True})
    chunk_target_tokens: int = Field(450, ge=1, json_schema_extra={"semantic": True})
    chunk_max_tokens: int = Field(700, ge=16, json_schema_extra={"semantic": True})
    splitter: str | None = Field(None, json_schema_extra={"semantic": True})
    """A function of your own that cuts texts, as ``package.module:name``; see docs/sources.md."""
    license: str | None = Field(None, max_length=300)
    """Licence of the documents that name none themselves, such as ``CC-BY-4.0``."""
    max_line_bytes: int = Field(16 * 2**20, ge=1024)
    """Longest line or record that is read; a longer one is counted, named and skipped."""
    languages: tuple[str, ...] = ()
    """Languages (``en``, ``de``) of documents that are used; all where empty."""
    privacy: Literal["keep", "redact", "drop"] = Field("keep", json_schema_extra={"semantic": True})
    """What becomes of mail addresses, phone and account numbers and keys in documents, before
    anything leaves the machine: kept, replaced by placeholders, or their document dropped."""
    min_words: int = Field(40, ge=1)
    """A document with fewer words is no article, and is skipped."""
    duplicates: Annotated[Literal["off", "exact", "near"], Switch] = "exact"
    """Which copies of documents and chunks are left out before anything is paid for: none, those
    with the same text, or those with nearly the same text too."""
    duplicate_similarity: float = Field(0.85, ge=0.5, le=1)
    """Share of words that two texts must have in common, in the same order, to be near
    duplicates."""
    shared_lines: Literal["remove", "keep"] = "remove"
    """What becomes of lines that many documents of one site share."""
    page_s: float = Field(20.0, gt=0, le=86_400, allow_inf_nan=False)
    """Processor time that one HTML page may take; one that takes more, or 30 times that by the
    clock, is counted, named and skipped."""
    page_processes: Literal["auto"] | Annotated[int, Field(ge=1, le=256)] = "auto"
    """Processes that take text out of pages and other documents; as many as cores by default."""
    sources: tuple[str, ...] = ()
    """Formats of your own, as ``module:attribute``; see docs/sources.md."""
    strict: bool = False
    """Whether any piece of input that cannot be used makes a run end with 1."""
    limit: int | None = Field(None, ge=1)
    """At most this many chunks in all."""
    limit_per_document: int | None = Field(None, ge=1)
    """At most this many chunks, the first ones, of each document."""

    model: str = Field("gpt-4o-mini", min_length=1, json_schema_extra={"semantic": True})
    base_url: str | None = None
    """An OpenAI-compatible endpoint, up to and with its ``/v1``; OPENAI_BASE_URL where None."""
    api_key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the key."""
    provider: str | None = None
    """Whose words the endpoint speaks: a name, a YAML file, or ``module:name``; found by the
    address where None. See docs/providers.md."""
    request: RequestSettings = RequestSettings()
    """Extra ``body`` fields, ``headers`` and ``query`` parameters for each call."""
    wire: Literal["auto", "direct", "sdk"] = "auto"
    """What carries the calls: ``direct`` is the fast one, ``sdk`` the openai library; ``auto`` is
    direct wherever a plain key is all that the endpoint asks for."""
    structured_output: Literal["auto", "json_schema", "json_object", "prompt"] = "auto"
    """How the answer's schema reaches the server; ``auto`` probes once and remembers."""
    reasoning: Reasoning = "auto"
    """How much the model thinks before it answers; ``auto``: as little as it can be told to."""
    answer_tokens: int | None = Field(None, ge=64, le=1_000_000)
    """Tokens that one answer may take, thoughts included; where None, what the answer needs and
    what the model was seen to think."""
    keep_reasoning: bool = False
    """Whether thoughts that the server tells apart are kept with the answers."""
    service_tier: str | None = Field(None, min_length=1, max_length=40)
    """Sent as it stands, such as ``flex``: slower, refused more often, and cheaper."""
    concurrency: int | None = Field(None, ge=1, le=16384)
    """Calls in flight; chosen by itself where None."""
    timeout_s: float = Field(120.0, gt=0)
    """Longest wait for one answer."""

    rpm: PerMinute | None = None
    """Requests a minute that the quota allows; learned from headers where None."""
    tpm: PerMinute | None = None
    """Tokens a minute, prompt and answer together; learned from headers where None."""
    input_tpm: PerMinute | None = None
    output_tpm: PerMinute | None = None
    charge: Literal["actual", "reconciled", "reserved"] | None = None
    """What counts against ``tpm``: tokens used; prompt and ``max_tokens`` until the answer comes;
    or these for good. Found out where None."""
    rate_share: float = Field(1.0, gt=0, le=1)
    """This process's part of the quota, where several share it."""
    pools: tuple[PoolSettings, ...] = ()
    """Several endpoints, keys or models instead of one; what a pool leaves out is as above."""
    prices: Path | None = None
    """A price file that overrides the one that comes along."""
    max_usd: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Dollars that all starts of the run may cost together; never passed."""
    max_total_tokens: int | None = Field(None, gt=0)
    """Tokens that they may use, prompts and answers together."""
    max_hours: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Hours that they may take."""
    endpoint_wait_s: float = Field(1800.0, ge=0)
    """How long an endpoint may be down before the run ends, resumable."""
    no_progress_s: float = Field(900.0, gt=0)
    """A run in which nothing becomes durable for so long, without a known reason, ends."""

    recipe: str = Field("auto", json_schema_extra={"semantic": True})
    """A recipe's name; a file (``mine.yaml``, ``mine.py``); ``package.module:name``; ``auto``:
    ``extractive`` for the embedded model, else ``backtranslate``."""
    pairs_per_chunk: int = Field(3, ge=1, le=10, json_schema_extra={"semantic": True})
    temperature: float = Field(0.8, ge=0, le=2, json_schema_extra={"semantic": True})
    top_p: float | None = Field(None, gt=0, le=1)
    """Sent only where given."""
    seed: int = Field(0, json_schema_extra={"semantic": True})
    mode: Literal["one_step", "two_step", "verbatim"] = Field(
        "one_step", json_schema_extra={"semantic": True}
    )
    """How ``backtranslate`` writes: pairs at once; instructions, then answers; or only an
    instruction, to which the text itself is the answer."""
    style_card: Annotated[Literal["off", "measured", "model"], Switch] = Field(
        "measured", json_schema_extra={"semantic": True}
    )
    """How the prompt says in what manner an author writes; see ``recipes/style.py``."""
    voice: Literal["author", "neutral", "assistant"] = Field(
        "author", json_schema_extra={"semantic": True}
    )
    """Whose voice the answers have: the author's, nobody's, or that of an assistant who explains.
    Style cards are for the author's alone."""
    prompts: Literal["auto", "1", "2"] = Field("auto", json_schema_extra={"semantic": True})
    """The set of prompts: ``auto`` is the one that a run folder was begun with, else today's."""
    checks: Annotated[Literal["default", "off"] | dict[str, str | float], Switch] = Field(
        "default", json_schema_extra={"semantic": True}
    )
    """Policies and thresholds that differ from the table in ``quality/thresholds.py``. ``off``:
    no pair is looked at, and nothing stops a run whose pairs are about nothing."""
    evolve: Annotated[Literal["off", "on"], Switch] = Field(
        "off", json_schema_extra={"semantic": True}
    )
    """Whether each pair is made harder or better once, beside the one it came from."""
    preference: Annotated[Literal["off", "samples", "closed_book"], Switch] = Field(
        "off", json_schema_extra={"semantic": True}
    )
    """A second answer to each instruction: drawn again, or written without the text."""
    preference_model: str | None = Field(None, json_schema_extra={"semantic": True})
    """Who writes the second answer; the run's model where None."""
    judge: Annotated[Literal["off", "sample", "all"], Switch] = Field(
        "off", json_schema_extra={"semantic": True}
    )
    """Which chunks' pairs a judge rates. It never changes a pair."""
    judge_model: str | None = Field(None, json_schema_extra={"semantic": True})
    """Who judges; the run's model where None, though another one is the better judge."""
    judge_share: float = Field(0.02, gt=0, le=1, json_schema_extra={"semantic": True})
    """Share of the chunks that ``judge: sample`` takes."""
    judge_trust: float = Field(0.05, ge=0, le=1, json_schema_extra={"semantic": True})
    """Share of the judged chunks that are judged twice, and that get a planted fault."""
    verify: Annotated[Literal["off", "sample", "all"], Switch] = Field(
        "off", json_schema_extra={"semantic": True}
    )
    """Which chunks' pairs a verifier checks against the text, sentence by sentence."""
    verify_model: str | None = Field(None, json_schema_extra={"semantic": True})
    """Who verifies; the run's model where None, though another one is the better verifier."""
    verify_share: float = Field(0.05, gt=0, le=1, json_schema_extra={"semantic": True})
    """Share of the chunks that ``verify: sample`` takes."""
    verify_trust: float = Field(0.05, ge=0, le=1, json_schema_extra={"semantic": True})
    """Share of the verified chunks on which the verifier is tested with a planted error."""
    unsupported: Literal["cut", "repair", "drop", "flag"] = Field(
        "cut", json_schema_extra={"semantic": True}
    )
    """What becomes of a pair with a sentence that a verifier found unsupported."""
    guidance: str | None = Field(None, max_length=8_000, json_schema_extra={"semantic": True})
    """A paragraph for the constant part of every writing prompt: the domain, the audience, what to
    avoid."""
    language: str | None = Field(None, max_length=40, json_schema_extra={"semantic": True})
    """The language to write in, whatever the passage's is: a code such as ``fr``, or a name."""
    system_prompt: str | tuple[str, ...] | None = Field(None, json_schema_extra={"semantic": True})
    """The system message of every row; of several, one is drawn for each."""
    plan: PlanSettings | None = Field(None, json_schema_extra={"semantic": True})
    """What ``backtranslate`` draws for each pair, with weights; see ``docs/recipes.md``."""
    models: dict[str, str] = Field({}, json_schema_extra={"semantic": True})
    """Role to model, for the steps of recipe files: ``writer``, ``answerer``, ``judge``, others."""
    chunks_per_unit: int = Field(1, ge=1, le=20, json_schema_extra={"semantic": True})
    """Chunks that make one unit; a recipe file says it by ``unit``."""
    chunk_step: int = Field(1, ge=1, le=20, json_schema_extra={"semantic": True})
    """How many chunks further each unit of neighbours begins."""
    chunks_by: Literal["neighbours", "subject"] = Field(
        "neighbours", json_schema_extra={"semantic": True}
    )
    """Which chunks belong together: neighbours in a document, or those of one subject."""
    target_pairs: int | None = Field(None, ge=1)
    """The run ends once the folder holds this many pairs."""
    per_document: int | None = Field(None, ge=1)
    """No more chunks of a document are asked for once it gave this many pairs."""
    max_repeats: int | None = Field(None, ge=1)
    """Pairs that may have the same instruction while the run goes; any number where None."""
    max_attempts: int = Field(3, ge=1, le=10)
    """Answers bought for one question before it is rejected, the first one included."""

    shard_bytes: int = Field(64 * 2**20, ge=1024)
    shard_age_s: float = Field(300.0, gt=0)
    commit_interval_s: float = Field(0.1, gt=0)
    disk_wait_s: float = Field(600.0, ge=0)
    """How long a disk may be full before the run ends, resumable."""
    grace_s: float = Field(25.0, ge=0)
    """How long calls in flight may finish after a stop was asked for."""
    accept_change: bool = False

    @model_validator(mode="before")
    @classmethod
    def _under_todays_names(cls, values: Any) -> Any:
        """Take settings of an earlier version: a file's, or those of a folder's last start."""
        if not isinstance(values, dict) or not RENAMED.keys() & values.keys():
            return values
        today = {name: value for name, value in values.items() if name not in RENAMED}
        for old, new in RENAMED.items():
            if values.get(old) is not None:
                today.setdefault(new, values[old])
        return today

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Settings:
        if not self.chunk_min_chars <= self.chunk_target_chars <= self.chunk_max_chars:
            msg = "needs chunk_min_chars <= chunk_target_chars <= chunk_max_chars"
            raise ValueError(msg)
        if not self.chunk_min_tokens <= self.chunk_target_tokens <= self.chunk_max_tokens:
            msg = "needs chunk_min_tokens <= chunk_target_tokens <= chunk_max_tokens"
            raise ValueError(msg)
        return self

    @property
    def is_local(self) -> bool:
        """Whether the embedded server answers."""
        return is_local_model(self.model)

    @property
    def page_process_count(self) -> int:
        """How many processes take text out of documents."""
        if self.page_processes != "auto":
            return self.page_processes
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1

    @property
    def recipe_name(self) -> str:
        """The recipe after ``auto`` is settled."""
        if self.recipe != "auto":
            return self.recipe
        return "extractive" if self.is_local else "backtranslate"


def is_recipe_file(name: str) -> bool:
    """Whether a recipe's name is a file: ``mine.yaml``, ``mine.py``, ``mine.py:other``."""
    return name.endswith((".yaml", ".yml", ".py")) or ".py:" in name


def fingerprint(settings: Settings) -> dict[str, Any]:
    """The settings that decide what the pairs are: name to plain value."""
    names = [
        name
        for name, info in Settings.model_fields.items()
        if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get("semantic")
    ]
    values = settings.model_dump(mode="json", include=set(names))
    name = settings.recipe_name
    if is_recipe_file(name):  # where a file lies does not say what is in it
        name = Path(name.partition(".py:")[0]).stem
    return {**values, "recipe": name}


def read_file(path: Path) -> dict[str, Any]:
    """Read a YAML settings file.

    Raises:
        ConfigError: It cannot be read, is no YAML, names a key twice, or is no mapping.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read settings from {path}: {_reason(error)}") from None
    try:
        data = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 (a SafeLoader underneath)
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits, a date that is none
        raise ConfigError(f"{path}: {_first_line(error)}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not valid YAML"
        raise ConfigError(f"{path}{where}: {problem}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected 'name: value' lines at the top level")
    return {str(key): value for key, value in data.items()}


def load(
    file: Path | None = None,
    given: Mapping[str, Any] | None = None,
    read: Mapping[str, Any] | None = None,
) -> Settings:
    """Merge defaults, the file and what was given (None means: not given), and check the result.

    Args:
        file: The settings file. ``PAIRMILL__NAME`` in the environment wins over it, with
            ``PAIRMILL__GROUP__NAME`` for a setting of a group.
        given: What wins over both.
        read: What ``read_file`` gave for it, where it was read already.

    Raises:
        ConfigError: A name is unknown (with the nearest known one), or a value cannot be used.
    """
    where = f"{file}: " if file else ""
    values = flatten(read_file(file) if read is None else read, where) if file else {}
    for name in values:
        _check_known(name, where)
    environment = _from_environment(os.environ)
    for name in environment:
        _check_known(name, f"{_PREFIX}{name.upper()}: ")
    values |= environment
    given_values = {
        name: value for name, value in flatten(given or {}).items() if value is not None
    }
    for name in given_values:
        _check_known(name, "")
    for name, value in {**values, **given_values}.items():
        problem = _unusable(name, value)
        if problem:
            raise ConfigError(f"{'' if name in given_values else where}{problem}")
    try:
        return _of_part(Settings.model_validate({**values, **given_values}))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        label = f"{name}: " if name else ""
        origin = "" if name in given_values else where
        raise ConfigError(f"{origin}{label}{message[:1].lower()}{message[1:]}") from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Settings that the environment gives, by their flat names; values are YAML.

    Raises:
        ConfigError: A name or a value cannot be used.
    """
    tree: dict[str, Any] = {}
    for name, text in environ.items():
        parts = name.removeprefix(_PREFIX).lower().split("__")
        if not name.startswith(_PREFIX) or not text.strip():
            continue
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"{name}: the value is not valid YAML") from None
        if taken := put_at(tree, parts, value):
            raise ConfigError(f"{name}: '{taken}' has a value already")
    return flatten(tree, "environment: ")


def _of_part(settings: Settings) -> Settings:
    """Name the part of a run that works in parts, and its own folder.

    Raises:
        ConfigError: There is no such part, or a setting needs to know of all parts.
    """
    if settings.partition is None:
        return settings
    if settings.target_pairs is not None:
        raise ConfigError(
            "target_pairs: a part does not know how many pairs the others have; leave it out, and"
            " choose rows when you export"
        )
    part = parse_partition(settings.partition, os.environ)
    output = settings.output
    output = output if output.name == part.name else output / part.name
    return settings.model_copy(update={"partition": str(part), "output": output})


def _check_known(name: str, where: str) -> None:
    known = list(Settings.model_fields)
    if name in known:
        return
    if name in RENAMED:
        text = f"{where}'{name}' is called '{RENAMED[name]}' now: {_WHY_RENAMED[name]}"
        warnings.warn(text, FutureWarning, stacklevel=3)
        return
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(sorted(known))}"
    raise ConfigError(f"{where}unknown setting '{name}'{hint}")


def _unusable(name: str, value: object) -> str:
    """Name a value that no setting can have, and say what is wrong with it; "" if nothing is."""
    inner: list[tuple[str, object]] = []
    if isinstance(value, dict):
        inner = [(f"{name}.{key}", each) for key, each in value.items()]
        inner += [(name, key) for key in value]
    elif isinstance(value, (list, tuple)):
        inner = [(f"{name}.{at}", each) for at, each in enumerate(value)]
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        return f"{name}: the number is too large"
    elif isinstance(value, float) and not math.isfinite(value):
        return f"{name}: input should be a finite number"
    elif isinstance(value, (str, Path)) and "\0" in str(value):
        return f"{name}: holds a NUL character"
    return next((problem for each in inner if (problem := _unusable(*each))), "")


def _first_line(error: Exception) -> str:
    return plain(str(error).partition("\n")[0].partition(";")[0], 120) or type(error).__name__


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else (error.strerror or "no reason")


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses a key which stands twice, instead of keeping the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "a name must be a plain word", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)

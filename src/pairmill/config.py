"""Settings: one model, the same names in the file, the flags and the library.

A file may put them into groups (`pairmill.reference`); the model itself is flat.

Precedence: defaults, then the YAML file, then what the caller gives. A key is never a setting;
the name of its environment variable is (``api_key_env``).
"""

from __future__ import annotations

import difflib
import math
import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
from pairmill.objects.url import WORK_NAME, default_work_dir, is_store_url, store_url
from pairmill.partition import MOST_PARTS, parse_partition
from pairmill.reference import flatten, put_at
from pairmill.yaml_files import load_yaml, read_settings_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.config import JsonDict

__all__ = [
    "LOCAL",
    "SECRET_HEADER",
    "PlanSettings",
    "PoolSettings",
    "RequestSettings",
    "Settings",
    "fingerprint",
    "is_local_model",
    "is_recipe_file",
    "load",
]

LOCAL = "local"  # --model local: the embedded model; local:PATH for any other GGUF file

_PREFIX = "PAIRMILL__"


def is_local_model(model: str) -> bool:
    """Return whether a model's name selects the embedded server."""
    return model == LOCAL or model.startswith(f"{LOCAL}:")


RENAMED = {"max_tokens": "max_total_tokens"}
"""Old names of settings, with their current ones."""

_WHY_RENAMED = {
    "max_tokens": "it caps the tokens of the whole run, not the length of an answer",
}


def _as_word(value: object) -> object:
    """Convert booleans back: YAML reads a bare ``off`` and ``on`` as false and true."""
    return ("on" if value else "off") if isinstance(value, bool) else value


def _as_text(value: object) -> object:
    """Convert a number to text: YAML reads a bare port as a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_weights(value: object) -> object:
    """Give all texts of a plain list the same weight."""
    return dict.fromkeys(value, 1.0) if isinstance(value, list | tuple) else value


Switch = BeforeValidator(_as_word)
PerMinute = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_MOST_CHECKERS = 2
Reasoning = Annotated[Literal["auto", "off", "low", "medium", "high"], Switch]

_SEMANTIC: JsonDict = {"semantic": True}


class RequestSettings(BaseModel):
    """Extra parts of each request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    body: dict[str, Any] = {}
    """Fields of the JSON body; they override those of pairmill. ``${NAME}`` as in headers."""
    headers: dict[str, str] = {}
    """Headers; ``${NAME}`` is replaced by an environment variable, to keep secrets out of here."""
    query: dict[str, str] = {}
    """Query parameters, such as ``api-version``. ``${NAME}`` as in headers."""

    @model_validator(mode="after")
    def _leaves_ours_alone(self) -> RequestSettings:
        for name, setting in _OWN_FIELDS.items():
            if name in self.body:
                msg = f"body.{name}: is set by pairmill; {setting}"
                raise ValueError(msg)
        for name, value in self.query.items():
            if SECRET_HEADER.search(name) and "${" not in value:
                msg = f"query.{name}: put the secret into the environment and write ${{NAME}}"
                raise ValueError(msg)
        for name, value in self.headers.items():
            if SECRET_HEADER.search(name) and "${" not in value:
                msg = f"headers.{name}: put the secret into the environment and write ${{NAME}}"
                raise ValueError(msg)
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or not value.isprintable():
                msg = f"headers.{name}: is not a valid header"
                raise ValueError(msg)
        return self

    def with_own(self, own: RequestSettings | None) -> RequestSettings:
        """Return these, overridden by a pool's own."""
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
SECRET_HEADER = re.compile(r"authorization|key|token|secret|cookie", re.IGNORECASE)
"""Names of headers whose values are secrets."""


class PoolSettings(BaseModel):
    """One of several endpoints, keys or models. None: as in the run's settings."""

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
    """Added to the run's own, which it overrides."""
    reasoning: Reasoning | None = None
    service_tier: str | None = None
    escalation: bool = False
    """Only for units that failed on the other pools."""


Weights = Annotated[
    dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]], BeforeValidator(_as_weights)
]
"""Texts with their weights; in a list, all have the same."""


class PlanSettings(BaseModel):
    """Distributions that the plan of a chunk's pairs is drawn from; None: the built-in one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    types: Weights | None = None
    """Types of instruction."""
    askers: Weights | None = None
    """Who asks; one for all pairs of a chunk."""
    difficulties: Weights | None = None
    forms: Weights | None = None
    """Forms of the request."""
    answers: Weights | None = None
    """Forms of the answer: prose, list, steps, table, code."""
    lengths: Weights | None = None
    """Approximate lengths of the answer, in free text."""

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
        """Leave out fields that are new and unset, since folders compare the serialized form."""
        values: dict[str, Any] = handler(self)
        later = ("answers", "lengths")
        return {name: value for name, value in values.items() if value or name not in later}


class Settings(BaseModel):
    """All settings of a run; `pairmill.reference.SETTINGS` describes each of them.

    Fields marked ``semantic`` determine the pairs; if one of them changes, an existing run folder
    requires ``accept_change``. All others may change between two starts of one run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    inputs: tuple[str, ...] = ()
    output: Path = Path("dataset")
    partition: str | None = Field(None, json_schema_extra=_SEMANTIC)
    engine: Literal["process", "ray"] = "process"
    partitions: int | None = Field(None, ge=1, le=MOST_PARTS)
    ray_address: str | None = Field(None, min_length=1, max_length=300)
    ray_cpus: float = Field(1.0, gt=0, le=1024, allow_inf_nan=False)
    export: str | None = None
    companions: tuple[str, ...] = ()
    status: Annotated[str | None, BeforeValidator(_as_text)] = None
    status_hosts: tuple[str, ...] = ()
    status_linger_s: float = Field(0.0, ge=0, le=3600, allow_inf_nan=False)

    text_field: str | None = Field(None, json_schema_extra=_SEMANTIC)
    chunk_min_chars: int = Field(800, ge=1, json_schema_extra=_SEMANTIC)
    chunk_target_chars: int = Field(1800, ge=1, json_schema_extra=_SEMANTIC)
    chunk_max_chars: int = Field(2800, ge=16, json_schema_extra=_SEMANTIC)
    tokenizer: Path | None = Field(None, json_schema_extra=_SEMANTIC)
    chunk_min_tokens: int = Field(200, ge=1, json_schema_extra=_SEMANTIC)
    chunk_target_tokens: int = Field(450, ge=1, json_schema_extra=_SEMANTIC)
    chunk_max_tokens: int = Field(700, ge=16, json_schema_extra=_SEMANTIC)
    splitter: str | None = Field(None, json_schema_extra=_SEMANTIC)
    license: str | None = Field(None, max_length=300)
    max_line_bytes: int = Field(16 * 2**20, ge=1024)
    languages: tuple[str, ...] = ()
    privacy: Literal["keep", "redact", "drop"] = Field("keep", json_schema_extra=_SEMANTIC)
    min_words: int = Field(40, ge=1)
    duplicates: Annotated[Literal["off", "exact", "near"], Switch] = "exact"
    duplicate_similarity: float = Field(0.85, ge=0.5, le=1)
    shared_lines: Literal["remove", "keep"] = "remove"
    page_s: float = Field(20.0, gt=0, le=86_400, allow_inf_nan=False)
    page_processes: Literal["auto"] | Annotated[int, Field(ge=1, le=256)] = "auto"
    sources: tuple[str, ...] = ()
    follow: bool = False
    follow_idle_s: float | None = Field(None, ge=0, allow_inf_nan=False)
    follow_poll_s: float = Field(1.0, ge=0.05, le=86_400, allow_inf_nan=False)
    strict: bool = False
    limit: int | None = Field(None, ge=1)
    limit_per_document: int | None = Field(None, ge=1)

    model: str = Field("gpt-4o-mini", min_length=1, json_schema_extra=_SEMANTIC)
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    provider: str | None = None
    request: RequestSettings = RequestSettings()
    wire: Literal["auto", "direct", "sdk"] = "auto"
    structured_output: Literal["auto", "json_schema", "json_object", "prompt"] = "auto"
    reasoning: Reasoning = "auto"
    answer_tokens: int | None = Field(None, ge=64, le=1_000_000)
    keep_reasoning: bool = False
    service_tier: str | None = Field(None, min_length=1, max_length=40)
    concurrency: int | None = Field(None, ge=1, le=16384)
    timeout_s: float = Field(120.0, gt=0)

    rpm: PerMinute | None = None
    tpm: PerMinute | None = None
    input_tpm: PerMinute | None = None
    output_tpm: PerMinute | None = None
    charge: Literal["actual", "reconciled", "reserved"] | None = None
    rate_share: float = Field(1.0, gt=0, le=1)
    share: str | None = Field(None, min_length=1, max_length=1000)
    pools: tuple[PoolSettings, ...] = ()
    prices: Path | None = None
    max_usd: float | None = Field(None, gt=0, allow_inf_nan=False)
    max_total_tokens: int | None = Field(None, gt=0)
    max_hours: float | None = Field(None, gt=0, allow_inf_nan=False)
    endpoint_wait_s: float = Field(1800.0, ge=0)
    no_progress_s: float = Field(900.0, gt=0)

    recipe: str = Field("auto", json_schema_extra=_SEMANTIC)
    pairs_per_chunk: int = Field(3, ge=1, le=10, json_schema_extra=_SEMANTIC)
    temperature: float = Field(0.8, ge=0, le=2, json_schema_extra=_SEMANTIC)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int = Field(0, json_schema_extra=_SEMANTIC)
    mode: Literal["one_step", "two_step", "verbatim"] = Field(
        "one_step", json_schema_extra=_SEMANTIC
    )
    style_card: Annotated[Literal["off", "measured", "model"], Switch] = Field(
        "measured", json_schema_extra=_SEMANTIC
    )
    voice: Literal["author", "neutral", "assistant"] = Field("author", json_schema_extra=_SEMANTIC)
    prompts: Literal["auto", "1", "2"] = Field("auto", json_schema_extra=_SEMANTIC)
    checks: Annotated[Literal["default", "off"] | dict[str, str | float], Switch] = Field(
        "default", json_schema_extra=_SEMANTIC
    )
    evolve: Annotated[Literal["off", "on"], Switch] = Field("off", json_schema_extra=_SEMANTIC)
    preference: Annotated[Literal["off", "samples", "closed_book"], Switch] = Field(
        "off", json_schema_extra=_SEMANTIC
    )
    preference_model: str | None = Field(None, json_schema_extra=_SEMANTIC)
    judge: Annotated[Literal["off", "sample", "all"], Switch] = Field(
        "off", json_schema_extra=_SEMANTIC
    )
    judge_model: str | None = Field(None, json_schema_extra=_SEMANTIC)
    judge_share: float = Field(0.02, gt=0, le=1, json_schema_extra=_SEMANTIC)
    judge_trust: float = Field(0.05, ge=0, le=1, json_schema_extra=_SEMANTIC)
    verify: Annotated[Literal["off", "sample", "all"], Switch] = Field(
        "off", json_schema_extra=_SEMANTIC
    )
    verify_model: str | None = Field(None, json_schema_extra=_SEMANTIC)
    verify_share: float = Field(0.05, gt=0, le=1, json_schema_extra=_SEMANTIC)
    verify_trust: float = Field(0.05, ge=0, le=1, json_schema_extra=_SEMANTIC)
    unsupported: Literal["cut", "repair", "drop", "flag"] = Field(
        "cut", json_schema_extra=_SEMANTIC
    )
    guidance: str | None = Field(None, max_length=8_000, json_schema_extra=_SEMANTIC)
    language: str | None = Field(None, max_length=40, json_schema_extra=_SEMANTIC)
    system_prompt: str | tuple[str, ...] | None = Field(None, json_schema_extra=_SEMANTIC)
    plan: PlanSettings | None = Field(None, json_schema_extra=_SEMANTIC)
    models: dict[str, str] = Field({}, json_schema_extra=_SEMANTIC)
    chunks_per_unit: int = Field(1, ge=1, le=20, json_schema_extra=_SEMANTIC)
    chunk_step: int = Field(1, ge=1, le=20, json_schema_extra=_SEMANTIC)
    chunks_by: Literal["neighbours", "subject"] = Field("neighbours", json_schema_extra=_SEMANTIC)
    target_pairs: int | None = Field(None, ge=1)
    per_document: int | None = Field(None, ge=1)
    max_repeats: int | None = Field(None, ge=1)
    check_processes: Literal["auto"] | Annotated[int, Field(ge=0, le=64)] = "auto"
    max_attempts: int = Field(3, ge=1, le=10)

    shard_bytes: int = Field(64 * 2**20, ge=1024)
    shard_age_s: float = Field(300.0, gt=0)
    commit_interval_s: float = Field(0.1, gt=0)
    disk_wait_s: float = Field(600.0, ge=0)
    store: str | None = Field(None, min_length=1, max_length=1000)
    work_dir: Path | None = None
    upload_s: float = Field(10.0, ge=0.1, le=3600, allow_inf_nan=False)
    lease_s: float = Field(60.0, ge=2, le=3600, allow_inf_nan=False)
    store_wait_s: float = Field(600.0, ge=0, allow_inf_nan=False)
    grace_s: float = Field(25.0, ge=0)
    accept_change: bool = False

    @model_validator(mode="before")
    @classmethod
    def _rename_old_settings(cls, values: Any) -> Any:
        """Rename settings of an earlier version, from a file or a folder's last start."""
        if not isinstance(values, dict) or not RENAMED.keys() & values.keys():
            return values
        today = {name: value for name, value in values.items() if name not in RENAMED}
        for old, new in RENAMED.items():
            if values.get(old) is not None:
                today.setdefault(new, values[old])
        return today

    @model_validator(mode="before")
    @classmethod
    def _split_store(cls, values: Any) -> Any:
        """Take an output that is a URL for the store, and a local folder for the output."""
        if not isinstance(values, dict):
            return values
        given, url = values.get("output"), values.get("store")
        if isinstance(given, str | Path) and is_store_url(str(given)):
            if url is not None:
                msg = "output is a URL, and store is given too; leave one of them out"
                raise ValueError(msg)
            values = {**values, "store": store_url(str(given), "output"), "output": None}
        elif isinstance(url, str) and url:
            values = {**values, "store": store_url(url, "store")}
        if values.get("store") is not None and values.get("output") is None:
            place = values.get("work_dir") or default_work_dir(values["store"], os.environ)
            values = {**values, "output": Path(place) / WORK_NAME}
        return values

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
        """True if the embedded server answers."""
        return is_local_model(self.model)

    @property
    def page_process_count(self) -> int:
        """Number of processes that extract text from documents."""
        return _cores() if self.page_processes == "auto" else self.page_processes

    @property
    def check_process_count(self) -> int:
        """Number of processes that check pairs; one event loop cannot keep more than two busy."""
        if self.check_processes == "auto":
            return min(_cores() - 1, _MOST_CHECKERS)
        return self.check_processes

    @property
    def recipe_name(self) -> str:
        """Recipe's name after ``auto`` is resolved."""
        if self.recipe != "auto":
            return self.recipe
        return "extractive" if self.is_local else "backtranslate"


def is_recipe_file(name: str) -> bool:
    """Return whether a recipe's name is a file: ``mine.yaml``, ``mine.py``, ``mine.py:other``."""
    return name.endswith((".yaml", ".yml", ".py")) or ".py:" in name


def fingerprint(settings: Settings) -> dict[str, Any]:
    """Return the settings that determine the pairs, as a map of name to plain value."""
    names = [
        name
        for name, info in Settings.model_fields.items()
        if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get("semantic")
    ]
    values = settings.model_dump(mode="json", include=set(names))
    name = settings.recipe_name
    if is_recipe_file(name):  # a file's path says nothing about its contents
        name = Path(name.partition(".py:")[0]).stem
    return {**values, "recipe": name}


def load(
    file: Path | None = None,
    given: Mapping[str, Any] | None = None,
    read: Mapping[str, Any] | None = None,
) -> Settings:
    """Merge defaults, the file and given values (None: not given), and validate the result.

    Args:
        file: The settings file. ``PAIRMILL__NAME`` in the environment overrides it, with
            ``PAIRMILL__GROUP__NAME`` for a setting in a group.
        given: Values that override both.
        read: Result of ``read_file``, if the file was read already.

    Raises:
        ConfigError: A name is unknown (with the nearest known one), or a value cannot be used.
    """
    where = f"{file}: " if file else ""
    values = flatten(read_settings_file(file) if read is None else read, where) if file else {}
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
    """Return the settings in the environment, by flat name; values are YAML.

    Raises:
        ConfigError: A name or a value cannot be used.
    """
    tree: dict[str, Any] = {}
    for name, text in environ.items():
        parts = name.removeprefix(_PREFIX).lower().split("__")
        if not name.startswith(_PREFIX) or not text.strip():
            continue
        try:
            value = load_yaml(text)
        except ValueError:
            raise ConfigError(f"{name}: the value is not valid YAML") from None
        if taken := put_at(tree, parts, value):
            raise ConfigError(f"{name}: '{taken}' has a value already")
    return flatten(tree, "environment: ")


def _of_part(settings: Settings) -> Settings:
    """Resolve the part of a partitioned run, and its own folder.

    Raises:
        ConfigError: There is no such part, or a setting depends on all parts.
    """
    if settings.partition is None:
        if settings.partitions is not None and settings.engine == "process":
            raise ConfigError(
                "partitions: needs engine ray, which works on all parts; to work on one part, give"
                " partition, such as 0/8"
            )
        return settings
    if settings.target_pairs is not None:
        raise ConfigError(
            "target_pairs: a part does not know how many pairs the others have; remove it, and"
            " select rows when you export"
        )
    part = parse_partition(settings.partition, os.environ)
    output = settings.output
    output = output if output.name == part.name else output / part.name
    url = settings.store
    if url is not None and not url.endswith(f"/{part.name}"):
        url = f"{url}/{part.name}"
    return settings.model_copy(update={"partition": str(part), "output": output, "store": url})


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


def _cores() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _unusable(name: str, value: object) -> str:
    """Describe a value that no setting can have; "" if there is none."""
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

"""Name, group, meaning and default of every setting: the only source of help and docs.

Loaded by ``pairmill --help``, so it imports nothing heavy. A test compares names, defaults and
choices with `pairmill.config.Settings`.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, NamedTuple

from pairmill.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["GROUPS", "SETTINGS", "SettingText", "dotted", "flatten", "put_at"]

GROUPS = {
    "": "Input and output",
    "input": "Reading",
    "model": "Model",
    "limits": "Limits",
    "recipe": "Recipe",
    "checks": "Checks",
    "judge": "Judge",
    "verify": "Verifier",
    "storage": "Storage",
}
"""Groups of a settings file, in order, with their titles."""


class SettingText(NamedTuple):
    """Description of a setting.

    Attributes:
        group: Key of `GROUPS`; empty for the top level of the file.
        key: The name within the group.
        about: One sentence without a full stop.
        default: Default value as in YAML, or a description if it depends on other settings.
        choices: Allowed words, if there are only a few.
        more: Details that only the reference page shows.
    """

    group: str
    key: str
    about: str
    default: str = "none"
    choices: tuple[str, ...] = ()
    more: str = ""


_T = SettingText
SETTINGS: dict[str, SettingText] = {
    "inputs": _T("", "inputs", "Files, folders, URLs, or - for standard input", ""),
    "output": _T(
        "", "output", "The run folder, or a URL: s3://, gs://, az://, file://", "dataset",
        more="see [object-stores.md](object-stores.md)",
    ),
    "partition": _T(
        "", "partition", "Work on part INDEX of COUNT, in a folder of its own", "none",
        more="inside `output`; as `0/8` to `7/8`; `auto/8` and `auto` take the numbers from an"
        " indexed job or a job array; see [scale.md](scale.md)",
    ),
    "engine": _T(
        "", "engine", "How the run is executed", "process", ("process", "ray"),
        "this process; or Ray tasks, one for each of `partitions`, merged at the end; extra `ray`,"
        " see [scale.md](scale.md#on-ray)",
    ),
    "partitions": _T(
        "", "partitions", "With engine ray: number of parts", "none",
        more="it cannot be changed midway",
    ),
    "ray_address": _T(
        "", "ray_address", "With engine ray: address of the cluster", "`$RAY_ADDRESS`",
        more="without either, Ray is started on this machine for the time of the run",
    ),
    "ray_cpus": _T("", "ray_cpus", "With engine ray: CPUs per part", "1"),
    "export": _T("", "export", "Export at the end in this training format, beside the run folder"),
    "companions": _T(
        "", "companions", "Your own coroutines to run beside the run, as module:name", "none",
        more="or FILE.py:name; see [companions.md](companions.md)",
    ),
    "status": _T(
        "", "status", "Serve progress, metrics and a live page at PORT or HOST:PORT",
        more="on loopback if no host is given; see [operations.md](operations.md)",
    ),
    "status_hosts": _T(
        "", "status_hosts", "Host names that the status server accepts", "none",
        more="besides addresses, `localhost` and this machine's name",
    ),
    "status_linger_s": _T(
        "", "status_linger_s", "Seconds to wait at the end for a last scrape of /metrics", "0"
    ),
    "accept_change": _T("", "accept_change", "Continue even if marked settings have changed", "no"),

    "text_field": _T(
        "input", "text_field", "The field of a record that holds its text", "found",
        more="a dotted name leads into nested objects",
    ),
    "chunk_min_chars": _T(
        "input", "chunk_min_chars", "Shorter pieces are joined to a neighbour", "800",
        more="if it has room",
    ),
    "chunk_target_chars": _T("input", "chunk_target_chars", "Chunk size to aim for", "1800"),
    "chunk_max_chars": _T("input", "chunk_max_chars", "Maximum chunk size", "2800"),
    "tokenizer": _T(
        "input", "tokenizer", "A tokenizer.json, to measure chunks in tokens", "none",
        more="extra `tokens`; then the chunk sizes in tokens apply instead of those in characters",
    ),
    "chunk_min_tokens": _T(
        "input", "chunk_min_tokens", "With a tokenizer: shorter pieces are joined", "200",
    ),
    "chunk_target_tokens": _T(
        "input", "chunk_target_tokens", "With a tokenizer: chunk size to aim for", "450"
    ),
    "chunk_max_tokens": _T(
        "input", "chunk_max_tokens", "With a tokenizer: maximum chunk size", "700"
    ),
    "splitter": _T(
        "input", "splitter", "Your own function that splits texts, as module:name", "none",
        more="see [sources.md](sources.md)",
    ),
    "license": _T(
        "input", "license", "Licence of documents that name none, such as CC-BY-4.0", "none",
        more="a licence given by a record, a page or front matter takes precedence",
    ),
    "min_words": _T(
        "input", "min_words", "Documents with fewer words are skipped", "40",
        more="a Chinese or Japanese character counts as a word",
    ),
    "languages": _T(
        "input", "languages", "Languages of the documents to use, such as [en, de]", "all"
    ),
    "privacy": _T(
        "input", "privacy", "What to do with personal data and keys in documents", "keep",
        ("keep", "redact", "drop"),
        "mail addresses, phone and account numbers and keys are kept, replaced by placeholders"
        " before anything leaves the machine, or their document is dropped",
    ),
    "duplicates": _T(
        "input", "duplicates", "Duplicates to skip before they are paid for",
        "exact", ("off", "exact", "near"),
        "documents and chunks with the same text; with `near` also those that differ in a few"
        " words, see [sources.md](sources.md)",
    ),
    "duplicate_similarity": _T(
        "input", "duplicate_similarity", "Share of words that near duplicates have in common",
        "0.85", more="in the same order",
    ),
    "shared_lines": _T(
        "input", "shared_lines", "What to do with lines that many documents of a site share",
        "remove", ("remove", "keep"),
    ),
    "limit": _T("input", "limit", "Maximum number of chunks in total"),
    "limit_per_document": _T(
        "input", "limit_per_document", "Maximum number of chunks per document",
        more="the first ones",
    ),
    "follow": _T(
        "input", "follow", "Keep reading what is new or changed in the input until stopped", "no",
        more="folders, growing JSON Lines files and standard input; see [follow.md](follow.md)",
    ),
    "follow_idle_s": _T(
        "input", "follow_idle_s", "With follow: stop after this many seconds without new input",
        more="0: end once all that is there is done, for a job that cron starts",
    ),
    "follow_poll_s": _T(
        "input", "follow_poll_s", "With follow: seconds between polls of the input", "1"
    ),
    "strict": _T("input", "strict", "Exit with 1 if any piece of input cannot be used", "no"),
    "sources": _T(
        "input", "sources", "Your own input formats, as module:attribute", "none",
        more="see [sources.md](sources.md)",
    ),
    "max_line_bytes": _T(
        "input", "max_line_bytes", "Maximum size of a record", "16777216",
        more="longer ones are skipped, counted and reported",
    ),
    "page_s": _T(
        "input", "page_s", "CPU seconds that one HTML page may take", "20",
        more="a page that takes more, or 30 times as long by the clock, is skipped",
    ),
    "page_processes": _T(
        "input", "page_processes", "Processes that extract text from documents", "auto",
        more="`auto`: one per core",
    ),

    "model": _T(
        "model", "name", "Model name at the endpoint; or local, or local:FILE.gguf", "gpt-4o-mini",
        more="a new run at a provider's endpoint must set it, since the default"
        " [is retired](limits.md#money)",
    ),
    "base_url": _T(
        "model", "base_url", "OpenAI-compatible endpoint, including its /v1", "`$OPENAI_BASE_URL`"
    ),
    "api_key_env": _T(
        "model", "api_key_env", "Environment variable that holds the key", "OPENAI_API_KEY"
    ),
    "provider": _T(
        "model", "provider", "The endpoint's dialect: a name, a YAML file, or module:name",
        "by the address", more="see [providers.md](providers.md)",
    ),
    "answer_tokens": _T(
        "model", "answer_tokens", "Maximum tokens of one answer, thinking included", "automatic",
        more="by default what the answer needs, plus the thinking seen from the model",
    ),
    "temperature": _T("model", "temperature", "From 0 to 2", "0.8"),
    "top_p": _T("model", "top_p", "From 0 to 1; sent only if set"),
    "seed": _T("model", "seed", "Sent with every call", "0"),
    "reasoning": _T(
        "model", "reasoning", "How much the model thinks before it answers", "auto",
        ("auto", "off", "low", "medium", "high"),
        "`auto`: as little as the model allows; see [thinking.md](thinking.md)",
    ),
    "keep_reasoning": _T(
        "model", "keep_reasoning", "Keep thoughts that the server returns separately", "no",
        more="in the ledger, and as `reasoning` of the rows",
    ),
    "structured_output": _T(
        "model", "structured_output", "How the schema of the answer is sent", "auto",
        ("auto", "json_schema", "json_object", "prompt"),
        "`auto` finds out once which of them gives a usable answer",
    ),
    "service_tier": _T(
        "model", "service_tier", "Service tier, sent unchanged, such as flex", "none",
        more="`flex` is slower, cheaper and refused more often; `timeout_s` is then 15 minutes"
        " unless it is set",
    ),
    "timeout_s": _T("model", "timeout_s", "Seconds to wait for one answer", "120"),
    "request": _T(
        "model", "request", "Extra body fields, headers and query parameters of each call",
        more="see [below](#extra-words-in-each-request)",
    ),
    "wire": _T(
        "model", "wire", "HTTP client for the calls", "auto", ("auto", "direct", "sdk"),
        "`direct` is the fast one, `sdk` the openai library; `auto` is direct wherever a plain key"
        " suffices",
    ),
    "pools": _T(
        "model", "pools", "Several endpoints, keys or models", "none", more="see [below](#pools)"
    ),

    "max_usd": _T("limits", "max_usd", "Maximum cost of all starts, in dollars; never exceeded"),
    "max_total_tokens": _T(
        "limits", "max_total_tokens", "Maximum tokens of all starts, prompts and answers together",
        more="an earlier version called it `max_tokens`",
    ),
    "max_hours": _T("limits", "max_hours", "Maximum duration of all starts, in hours"),
    "concurrency": _T("limits", "concurrency", "Calls in flight", "automatic"),
    "rpm": _T("limits", "rpm", "Requests per minute that the quota allows", "learned"),
    "tpm": _T("limits", "tpm", "Tokens per minute, prompt and answer together", "learned"),
    "input_tpm": _T("limits", "input_tpm", "Prompt tokens per minute, if counted separately"),
    "output_tpm": _T("limits", "output_tpm", "Answer tokens per minute, if counted separately"),
    "charge": _T(
        "limits", "charge", "Which tokens count against the quota", "found out",
        ("actual", "reconciled", "reserved"),
        "`actual`: tokens used; `reconciled`: prompt and `max_tokens` until the answer comes, then"
        " the tokens used; `reserved`: prompt and `max_tokens`",
    ),
    "rate_share": _T(
        "limits", "rate_share", "This process's share of the quota", "1",
        more="if several processes use it",
    ),
    "share": _T(
        "limits", "share", "Share quota and caps with all runs that name this folder or URL",
        more="see [scale.md](scale.md#one-quota-one-budget)",
    ),
    "prices": _T(
        "limits", "prices", "A price file that overrides the built-in one", "built in",
        more="[pairmill's form, LiteLLM's or models.dev's](limits.md#money)",
    ),
    "max_attempts": _T(
        "limits", "max_attempts", "Answers paid for per question before it is rejected", "3",
        more="the first one included"
    ),
    "endpoint_wait_s": _T(
        "limits", "endpoint_wait_s", "Maximum seconds that an endpoint may be down", "1800",
        more="then the run ends and can be resumed",
    ),
    "no_progress_s": _T(
        "limits", "no_progress_s", "Maximum seconds without anything becoming durable", "900",
        more="without a known reason; then the run ends and can be resumed",
    ),
    "grace_s": _T(
        "limits", "grace_s", "Maximum seconds for calls in flight after a stop", "25"
    ),

    "recipe": _T(
        "recipe", "name", "Name from `pairmill recipes list`, FILE.yaml, or package.module:name",
        "auto",
        more="`auto` takes `extractive` for the embedded model, else `backtranslate`; see"
        " [recipes.md](recipes.md)",
    ),
    "pairs_per_chunk": _T("recipe", "pairs_per_chunk", "Maximum number of pairs per chunk", "3"),
    "mode": _T(
        "recipe", "mode", "How backtranslate asks", "one_step",
        ("one_step", "two_step", "verbatim"),
        "pairs at once; instructions, then answers; or only an instruction, with the text itself as"
        " the answer",
    ),
    "guidance": _T(
        "recipe", "guidance", "Paragraph added to every writing prompt", "none",
        more="domain, audience, what to avoid",
    ),
    "language": _T(
        "recipe", "language", "Language to write in, a code or a name", "the text's",
        more="the language check uses it too",
    ),
    "system_prompt": _T(
        "recipe", "system_prompt", "System message of every row", "none",
        more="from a list, one is drawn for each",
    ),
    "style_card": _T(
        "recipe", "style_card", "How the prompt describes the author's style", "measured",
        ("off", "measured", "model"), "measured by counting, or described by the model",
    ),
    "voice": _T(
        "recipe", "voice", "Voice of the answers", "author",
        ("author", "neutral", "assistant"),
        "`neutral`: plain and impersonal; `assistant`: speaking to the one who asked; both without"
        " a style card; see [quality.md](quality.md#voice)",
    ),
    "prompts": _T(
        "recipe", "prompts", "Set of built-in prompts", "auto", ("auto", "1", "2"),
        "`auto`: the one that the folder was begun with, else the current one; another set means"
        " new questions, each of which is paid for",
    ),
    "plan": _T(
        "recipe", "plan", "Weights of the types of instruction that backtranslate draws",
        "built in",
        more="`types`, `askers`, `difficulties`, `forms`, `answers`, `lengths`;"
        " see [recipes.md](recipes.md)",
    ),
    "evolve": _T(
        "recipe", "evolve", "on: add a harder or better version of each pair", "off", ("off", "on")
    ),
    "preference": _T(
        "recipe", "preference", "A second answer to each instruction", "off",
        ("off", "samples", "closed_book"), "sampled again, or written without the text",
    ),
    "preference_model": _T(
        "recipe", "preference_model", "Model that writes second answers", "the run's"
    ),
    "models": _T(
        "recipe", "models", "Map of role to model, for the steps of recipe files", "none",
        more="`writer`, `answerer`, `judge`, or your own names",
    ),
    "chunks_per_unit": _T(
        "recipe", "chunks_per_unit", "Chunks per unit", "1",
        more="recipe files use `unit` instead",
    ),
    "chunk_step": _T(
        "recipe", "chunk_step", "Chunks from the start of one unit of neighbours to the next", "1"
    ),
    "chunks_by": _T(
        "recipe", "chunks_by", "Which chunks make a unit", "neighbours", ("neighbours", "subject"),
        "neighbours in a document; or chunks of one subject, each from another document",
    ),
    "target_pairs": _T("recipe", "target_pairs", "Stop once the folder contains this many pairs"),
    "per_document": _T(
        "recipe", "per_document", "Stop asking about a document once it has this many pairs"
    ),

    "checks": _T(
        "checks", "policies", "off, or policies and thresholds other than the default", "default",
        more="a policy may also be in the group itself: `checks: {ungrounded: flag}`; `off` also"
        " disables the canary; see [quality.md](quality.md)",
    ),
    "max_repeats": _T(
        "checks", "max_repeats", "Maximum pairs with the same instruction", "none",
        more="which ones are dropped depends on the order of answers",
    ),
    "check_processes": _T(
        "checks", "processes", "Processes that check pairs", "auto",
        more="`auto`: none on one core, one on two, two on more, started once a run finishes 100"
        " chunks a second; 0: pairs are checked in the main process",
    ),

    "judge": _T(
        "judge", "chunks", "Rate the pairs of these chunks", "off", ("off", "sample", "all"),
        "ratings never change a pair"
    ),
    "judge_model": _T(
        "judge", "model", "Model that rates", "the run's", more="another one is a better judge"
    ),
    "judge_share": _T("judge", "share", "Share of chunks with sample", "0.02"),
    "judge_trust": _T(
        "judge", "trust", "Share of the judged chunks on which the judge is tested", "0.05",
        more="they are rated twice, and with a planted fault",
    ),

    "verify": _T(
        "verify", "chunks", "Check these chunks' answers sentence by sentence", "off",
        ("off", "sample", "all"), "see [quality.md](quality.md#the-verifier)",
    ),
    "verify_model": _T(
        "verify", "model", "Model that verifies", "the run's",
        more="another one is a better verifier"
    ),
    "verify_share": _T("verify", "share", "Share of chunks with sample", "0.05"),
    "verify_trust": _T(
        "verify", "trust", "Share of the verified chunks on which the verifier is tested", "0.05",
        more="they are checked once more, with a planted error",
    ),
    "unsupported": _T(
        "verify", "unsupported", "What to do with a pair that has an unsupported sentence", "cut",
        ("cut", "repair", "drop", "flag"),
        "the sentence is removed, the pair is asked for again, dropped, or only flagged",
    ),

    "shard_bytes": _T("storage", "shard_bytes", "Shard size in bytes", "67108864"),
    "shard_age_s": _T("storage", "shard_age_s", "Maximum shard age in seconds", "300"),
    "commit_interval_s": _T(
        "storage", "commit_interval_s", "Maximum seconds until an answer is durable", "0.1"
    ),
    "disk_wait_s": _T(
        "storage", "disk_wait_s", "Maximum seconds to wait while a disk is full", "600",
        more="then the run ends and can be resumed",
    ),
    "store": _T(
        "storage", "url", "Object store that the dataset is published to and restored from",
        more="the same as a URL for `output`; see [object-stores.md](object-stores.md)",
    ),
    "work_dir": _T(
        "storage", "work_dir", "Local folder of a run on an object store", "by the URL",
        more="below `$XDG_STATE_HOME/pairmill`, or `~/.local/state/pairmill`",
    ),
    "upload_s": _T(
        "storage", "upload_s", "Seconds between uploads to an object store", "10",
        more="a machine that is lost takes the answers of so many seconds with it",
    ),
    "lease_s": _T(
        "storage", "lease_s", "Seconds without a sign of life until another process takes over",
        "60",
    ),
    "store_wait_s": _T(
        "storage", "store_wait_s", "Maximum seconds that an object store may be unreachable", "600",
        more="once another process may have taken over, nothing is asked meanwhile; then the run"
        " ends and can be resumed",
    ),
}  # fmt: skip
"""Settings by flat name, in the order of a settings file."""

_BY_PLACE = {(text.group, text.key): name for name, text in SETTINGS.items()}


def dotted(name: str) -> str:
    """Return where a setting is in a grouped file: ``limits.rpm``."""
    text = SETTINGS.get(name)
    return f"{text.group}.{text.key}" if text is not None and text.group else name


def put_at(tree: dict[str, Any], parts: Sequence[str], value: Any) -> str:
    """Put a value into nested mappings.

    Args:
        tree: Mappings to change.
        parts: Names of the path; at least one.
        value: New value.

    Returns:
        The name whose value is in the way of a mapping; "" if there is none.
    """
    place = tree
    for part in parts[:-1]:
        inner = place.setdefault(part, {})
        if not isinstance(inner, dict):
            return part
        place = inner
    if isinstance(place.get(parts[-1]), dict):
        return parts[-1]
    place[parts[-1]] = value
    return ""


def flatten(values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Turn the groups of a settings file into flat names; flat names are kept.

    Args:
        values: Values as read from YAML; not changed.
        where: Prefix of error texts, such as ``run.yaml: ``.

    Raises:
        ConfigError: A group holds a name that does not belong there, or a setting is given twice.
    """
    found: dict[str, Any] = {}
    origin: dict[str, str] = {}

    def put(name: str, value: Any, place: str) -> None:
        if name in found:
            raise ConfigError(f"{where}'{name}' is given twice: as {origin[name]} and as {place}")
        found[name] = value
        origin[name] = place

    for word, value in values.items():
        if word not in GROUPS or not isinstance(value, dict):
            put(word, value, word)
            continue
        policies: dict[str, Any] = {}
        for key, inner in value.items():
            name = _BY_PLACE.get((word, str(key)))
            if name is not None:
                put(name, inner, f"{word}.{key}")
            elif word == "checks":
                policies[key] = inner
            else:
                raise ConfigError(f"{where}{_misplaced(word, str(key))}")
        if policies:
            put("checks", policies, "checks")
    return found


def _misplaced(group: str, key: str) -> str:
    if key in SETTINGS:
        return f"'{key}' does not belong to {group}: write {dotted(key)}"
    known = [each.key for each in SETTINGS.values() if each.group == group]
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean '{group}.{near[0]}'?" if near else f"known: {', '.join(known)}"
    return f"unknown setting '{group}.{key}'; {hint}"

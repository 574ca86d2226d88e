"""Pushes an export to the Hugging Face hub: checked first, private by default.

The hub is spoken to by its own client, ``huggingface_hub`` (extra ``hub``), which finds the token
(``HF_TOKEN``, or the one that ``hf auth login`` keeps) and the address (``HF_ENDPOINT``) by itself.
"""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pairmill.display import sanitize
from pairmill.errors import ConfigError, FolderError, HubError, PairmillError, UsageError
from pairmill.llm.masking import masked_line
from pairmill.output.export_place import MANIFEST
from pairmill.output.split import SPLIT_RECORD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = [
    "NOT_PUSHED",
    "HubTarget",
    "check_repo_name",
    "look_at_hub",
    "push_lines",
    "push_to_hub",
    "pushed_line",
]

NOT_PUSHED = frozenset({SPLIT_RECORD})
"""Files of an export that stay here: ids of documents, which only a later export needs."""

_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_NO_CLIENT = "pushing to the hub needs the extra 'hub': pip install 'pairmill[hub]'"
_HOW_TO_LOG_IN = (
    "no token for the hub: set HF_TOKEN to one that may write, or run 'hf auth login' once"
)
_HARMLESS = frozenset({".gitattributes"})
_REFUSED, _FORBIDDEN, _MISSING, _TOO_MANY, _SERVER = 401, 403, 404, 429, 500


@dataclass(frozen=True, slots=True)
class HubTarget:
    """A dataset repository to push to.

    Attributes:
        repo: ``OWNER/NAME``.
        is_public: True if it is, or will be, public.
        exists: True if it exists already, with an earlier export or empty.
        replaces: Number of files of an earlier export.
    """

    repo: str
    is_public: bool
    exists: bool
    replaces: int = 0


def check_repo_name(repo: str) -> None:
    """Make sure that a text names a repository.

    Raises:
        UsageError: It is not of the form ``OWNER/NAME``.
    """
    if not _REPO.fullmatch(repo) or ".." in repo or "--" in repo or repo.endswith(".git"):
        raise UsageError(
            f"--push-to-hub: '{sanitize(repo, 100)}' is not a repository name; give OWNER/NAME, in"
            f" letters,"
            " digits and single - _ ."
        )


def look_at_hub(repo: str, *, public: bool = False) -> HubTarget:
    """Check, before anything is written, whether an export may be pushed to a repository.

    Args:
        repo: ``OWNER/NAME``; it may be missing yet.
        public: Whether it may be public.

    Raises:
        UsageError: The name is invalid, or the extra ``hub`` is missing.
        ConfigError: The token is missing or refused.
        FolderError: The repository holds something other than an export of pairmill, or is public
            without ``public``.
        HubError: The hub cannot be reached.
    """
    check_repo_name(repo)
    hub = _client()
    if hub.get_token() is None:
        raise ConfigError(_HOW_TO_LOG_IN)
    with _told(hub, repo):
        try:
            found = hub.HfApi().dataset_info(repo)
        except hub.errors.RepositoryNotFoundError:
            # Also the answer to a token that does not work: ask who we are.
            hub.HfApi().whoami()
            return HubTarget(repo, public, exists=False)
    names = {item.rfilename for item in found.siblings or ()} - _HARMLESS
    if names and MANIFEST not in names:
        raise FolderError(
            f"{repo} on the hub holds {len(names):,} files and is not an export of pairmill; name"
            " another repository"
        )
    if not found.private and not public:
        raise FolderError(
            f"{repo} on the hub is public; add --public to push there, or name another repository"
        )
    return HubTarget(repo, not found.private, exists=True, replaces=len(names))


def push_to_hub(export: Path, target: HubTarget, version: str = "") -> str:
    """Push an export as one commit; data files of an earlier one go with the same commit.

    Args:
        export: The exported folder.
        target: As `look_at_hub` found it.
        version: pairmill's own, for the commit message.

    Returns:
        The repository's address.

    Raises:
        ConfigError: The hub refuses the token.
        HubError: The hub refused, or cannot be reached; the same push may be tried again.
    """
    hub = _client()
    if not sys.stderr.isatty():
        hub.utils.disable_progress_bars()
    api = hub.HfApi()
    with _told(hub, target.repo):
        made = api.create_repo(
            target.repo, repo_type="dataset", private=not target.is_public, exist_ok=True
        )
        api.upload_folder(
            repo_id=target.repo,
            repo_type="dataset",
            folder_path=export,
            commit_message=f"Export by pairmill {version}".strip(),
            ignore_patterns=sorted(NOT_PUSHED),
            delete_patterns="data/*",
        )
    return str(made)


def push_lines(repo: str, files: Mapping[str, int], *, public: bool) -> list[str]:
    """Describe what a push would send: each file with its size.

    Args:
        repo: ``OWNER/NAME``.
        files: Path below the export to bytes.
        public: Whether everybody could read it.
    """
    sent = {name: size for name, size in files.items() if name not in NOT_PUSHED}
    kind = "public" if public else "private"
    head = (
        f"would push {len(sent)} files, {sum(sent.values()):,} bytes, to the {kind} dataset {repo}"
        " (the hub was not asked):"
    )
    return [head, *(f"  {size:>13,}  {sanitize(name, 200)}" for name, size in sorted(sent.items()))]


def pushed_line(target: HubTarget, address: str) -> str:
    """Describe what a push did, in a line."""
    kind = "public" if target.is_public else "private"
    replaced = f", in the place of an earlier one of {target.replaces:,} files"
    return f"pushed to {sanitize(address)} ({kind}){replaced if target.replaces else ''}"


def _client() -> Any:
    try:
        import huggingface_hub  # noqa: PLC0415 (an extra)
        import huggingface_hub.errors  # noqa: PLC0415
        import huggingface_hub.utils  # noqa: PLC0415
    except ImportError:
        raise UsageError(_NO_CLIENT) from None
    return huggingface_hub


@contextmanager
def _told(hub: Any, repo: str) -> Iterator[None]:
    """Turn what the hub's client raises into one line without a token."""
    broken: tuple[type[Exception], ...] = (OSError, ValueError, *_network_errors())
    try:
        yield
    except hub.errors.HfHubHTTPError as error:
        raise _refusal(hub, repo, error) from None
    except broken as error:
        raise HubError(f"the hub cannot be reached: {_said(hub, error)}") from None


def _network_errors() -> Iterator[type[Exception]]:
    """Yield the errors of the hub client's HTTP libraries that are not OSErrors."""
    for library in ("httpx2", "httpx"):
        with suppress(ImportError):
            yield import_module(library).HTTPError


def _refusal(hub: Any, repo: str, error: Any) -> PairmillError:
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", 0)
    said = _said(hub, getattr(error, "server_message", None) or error)
    if status == _REFUSED:
        return ConfigError(f"the hub rejects the token (HTTP 401): {_HOW_TO_LOG_IN}")
    if status in {_FORBIDDEN, _MISSING}:
        return ConfigError(
            f"the token may not write to {repo} (HTTP {status}): {said}; create a token that can,"
            f" or name a repository of your own"
        )
    again = "; try again later" if status == _TOO_MANY or status >= _SERVER else ""
    return HubError(f"the hub refused {repo} (HTTP {status}): {said}{again}")


def _said(hub: Any, error: object) -> str:
    """Return the first line of an error, with a quoted token masked."""
    text = str(error).strip().splitlines()
    return masked_line(text[0] if text else type(error).__name__, [hub.get_token() or ""])

"""Object stores of clouds and of S3-compatible servers, by obstore (extra ``store``)."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pairmill.display import sanitize
from pairmill.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["CloudStore", "open_cloud"]

_TIMEOUT = "60s"
_RETRIES = {"max_retries": 3, "retry_timeout": timedelta(seconds=15)}
_WORDS = {
    "RequestTimeTooSkewed": "the clock of this machine is wrong by more than the store allows",
    "PermissionDeniedError": "permission denied: the key lacks a right that is needed here",
    "UnauthenticatedError": "the key is missing, wrong, or has expired",
    "builder error": "an address without TLS needs AWS_ALLOW_HTTP=true",
    "NoSuchBucket": "there is no such bucket",
    "ContainerNotFound": "there is no such container",
    "connection refused": "cannot be reached",
    "error sending request": "cannot be reached",
}
_ALLOW_HTTP = ("AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP", "GOOGLE_ALLOW_HTTP")
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
_FINAL = (
    "builder error",
    "RequestTimeTooSkewed",
    "PermissionDeniedError",
    "UnauthenticatedError",
    *_NO_BUCKET,
)


class CloudStore:
    """Objects below a prefix of a bucket.

    Attributes:
        where: See `ObjectStore`.
    """

    def __init__(self, store: Any, where: str) -> None:
        """Take a store of obstore's."""
        import obstore  # noqa: PLC0415 (an extra)

        self._obstore = obstore
        self._store = store
        self.where = where

    def get(self, name: str) -> tuple[bytes, Any] | None:
        """See `ObjectStore`."""
        try:
            found = self._obstore.get(self._store, name)
            return bytes(found.bytes()), _token_of(found.meta)
        except FileNotFoundError as error:
            if _has_no_bucket(error):
                raise self._refusal(error) from None
            return None
        except Exception as error:  # noqa: BLE001 (each store has errors of its own)
            raise self._refusal(error) from None

    def create(self, name: str, data: bytes) -> Any | None:
        """See `ObjectStore`."""
        return self._put(name, data, "create")

    def replace(self, name: str, data: bytes, token: Any) -> Any | None:
        """See `ObjectStore`."""
        return self._put(name, data, token)

    def names(self, prefix: str) -> list[str]:
        """See `ObjectStore`."""
        try:
            batches = self._obstore.list(self._store, prefix.rstrip("/") or None, chunk_size=1000)
            return sorted(str(entry["path"]) for batch in batches for entry in batch)
        except FileNotFoundError:
            return []
        except Exception as error:  # noqa: BLE001 (each store has errors of its own)
            raise self._refusal(error) from None

    def folders(self) -> list[str]:
        """See `ObjectStore`."""
        try:
            found = self._obstore.list_with_delimiter(self._store)["common_prefixes"]
        except FileNotFoundError:
            return []
        except Exception as error:  # noqa: BLE001 (each store has errors of its own)
            raise self._refusal(error) from None
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    def delete(self, names: Iterable[str]) -> None:
        """See `ObjectStore`."""
        try:
            if doomed := list(names):
                self._obstore.delete(self._store, doomed)
        except FileNotFoundError:
            return
        except Exception as error:  # noqa: BLE001 (each store has errors of its own)
            raise self._refusal(error) from None

    def _put(self, name: str, data: bytes, mode: Any) -> Any | None:
        errors = self._obstore.exceptions
        try:
            done = self._obstore.put(self._store, name, data, mode=mode, use_multipart=False)
        except (errors.AlreadyExistsError, errors.PreconditionError):
            return None
        except FileNotFoundError as error:
            if mode == "create" or _has_no_bucket(error):
                raise self._refusal(error) from None
            return None
        except Exception as error:  # noqa: BLE001 (each store has errors of its own)
            raise self._refusal(error) from None
        return _token_of(done)

    def _refusal(self, error: Exception) -> StorageError:
        told = f"{type(error).__name__} {error}"
        known = next((words for mark, words in _WORDS.items() if mark in told), "")
        words = known or f"{type(error).__name__}: {sanitize(str(error).split(chr(10), 1)[0], 160)}"
        is_final = any(mark in told for mark in _FINAL)
        return StorageError(f"{self.where}: {words}", transient=not is_final)


def open_cloud(url: str, label: str) -> CloudStore:
    """Open ``s3://bucket/prefix``, ``gs://`` or ``az://``; keys come from the environment.

    Raises:
        ConfigError: The extra is missing, or the URL cannot be used.
    """
    scheme = url.partition("://")[0]
    try:
        from obstore.store import from_url  # noqa: PLC0415 (an extra)
    except ImportError:
        raise ConfigError(
            f"{label}: {scheme}:// needs the extra: pip install 'pairmill[store]'"
        ) from None
    options: dict[str, Any] = {}
    if scheme != "memory":
        client = {"timeout": _TIMEOUT, "allow_http": _may_use_http(os.environ)}
        options = {"client_options": client, "retry_config": _RETRIES}
    try:
        store = from_url(url, **options)
    except Exception as error:  # noqa: BLE001 (each store has errors of its own)
        words = sanitize(str(error).split("\n", 1)[0], 160)
        raise ConfigError(f"{label}: cannot open {sanitize(url, 200)}: {words}") from None
    return CloudStore(store, sanitize(url, 200))


def _may_use_http(environ: Mapping[str, str]) -> bool:
    """Read what the client itself would: options that are given replace those from there."""
    given = (environ.get(name, "") for name in _ALLOW_HTTP)
    return any(value.strip().lower() in {"1", "true", "yes", "on"} for value in given)


def _has_no_bucket(error: Exception) -> bool:
    return any(mark in str(error) for mark in _NO_BUCKET)


def _token_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {name: meta[name] for name in ("e_tag", "version") if meta.get(name) is not None}

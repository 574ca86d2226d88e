"""Ray itself: joins or starts a cluster, and starts actors and tasks in it."""

from __future__ import annotations

import logging
import os
import uuid
from typing import TYPE_CHECKING, Any

from pairmill.display import sanitize
from pairmill.errors import ConfigError, StoppedError
from pairmill.run.ray.part import PartEnd, PartNews, PartTask, ProgressBoard, work_on_part
from pairmill.share.objects import NAMESPACE, RAY_SCHEME, ServedPlace, SharedActor

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Cluster", "LostWorkerError"]

_LONGEST = 200
_ANSWER_S = 30.0
_RESTARTS = -1  # as often as nodes are lost
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""For a cluster that is started here: nothing is sent to anybody."""


class LostWorkerError(Exception):
    """The worker, or its node, was lost; the part's folder is in order."""


class Cluster:
    """A connection to a Ray cluster, for one run.

    Args:
        address: As Ray takes it; None: ``$RAY_ADDRESS``, or a cluster on this machine that ends
            with the run.
        cpus: That each part takes.

    Raises:
        ConfigError: Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(self, address: str | None, cpus: float) -> None:
        self._ray = _import()
        self._cpus = cpus
        self._owns = not self._ray.is_initialized()
        self._tasks: dict[int, Any] = {}
        if self._owns:
            self._join(address)
        self._board = self._start(ProgressBoard)
        self._share: Any = None

    def close(self) -> None:
        """Leave the cluster; it ends if it was started here."""
        if self._owns:
            self._ray.shutdown()
            return
        for actor in filter(None, (self._board, self._share)):
            self._ray.kill(actor)

    def share(self, served: ServedPlace) -> str:
        """Start the actor of a shared quota; return the place to name for ``share``."""
        name = f"share-{uuid.uuid4().hex}"
        self._share = self._start(SharedActor, served, name=name)
        return f"{RAY_SCHEME}://{name}"

    def has_room(self) -> bool:
        """Return whether some node has as many CPUs as a part takes."""
        nodes = self._ray.nodes()
        return any(
            node["Alive"] and node["Resources"].get("CPU", 0.0) >= self._cpus for node in nodes
        )

    def begin(self, task: PartTask) -> None:
        """Queue a part; Ray starts it where its CPUs are free."""
        run = self._ray.remote(num_cpus=self._cpus, max_calls=1, max_retries=0)(work_on_part)
        self._tasks[task.index] = run.remote(task, self._board)

    def ended(self) -> list[tuple[int, PartEnd | LostWorkerError]]:
        """Return the parts that have ended since the last call.

        Raises:
            StoppedError: The cluster cannot be reached any more.
        """
        by_reference = {reference: index for index, reference in self._tasks.items()}
        if not by_reference:
            return []
        ready, _ = self._ray.wait(list(by_reference), num_returns=len(by_reference), timeout=0)
        found: list[tuple[int, PartEnd | LostWorkerError]] = []
        for reference in ready:
            index = by_reference[reference]
            del self._tasks[index]
            found.append((index, self._end_of(index, reference)))
        return found

    def look(self, stop: str) -> tuple[list[PartNews], list[tuple[int, str]]]:
        """Pass on whether to stop, and return what parts tell."""
        try:
            found: tuple[list[PartNews], list[tuple[int, str]]] = self._ray.get(
                self._board.look.remote(stop), timeout=_ANSWER_S
            )
        except self._ray.exceptions.RayError:  # it is started again, or the cluster is gone
            return [], []
        return found

    def cancel(self) -> Sequence[int]:
        """End the parts that are left at once; return which they are."""
        for reference in self._tasks.values():
            self._ray.cancel(reference, force=True)
        return sorted(self._tasks)

    def _end_of(self, index: int, reference: Any) -> PartEnd | LostWorkerError:
        errors = self._ray.exceptions
        try:
            found: PartEnd = self._ray.get(reference, timeout=_ANSWER_S)
        except (
            errors.WorkerCrashedError,
            errors.NodeDiedError,
            errors.OutOfMemoryError,
            errors.ObjectLostError,
            errors.TaskCancelledError,
            errors.LocalRayletDiedError,
        ) as error:
            return LostWorkerError(f"part {index}: {_first_line(error)}")
        except errors.RayError as error:
            raise ConfigError(
                f"engine ray: a worker cannot run pairmill: {_cause(error)}"
            ) from None
        return found

    def _start(self, kind: type, *arguments: object, name: str | None = None) -> Any:
        options = {"num_cpus": 0, "max_restarts": _RESTARTS, "name": name, "namespace": NAMESPACE}
        return self._ray.remote(**options)(kind).remote(*arguments)

    def _join(self, address: str | None) -> None:
        logging.getLogger("ray").setLevel(logging.ERROR)
        given = address or os.environ.get("RAY_ADDRESS")
        more: dict[str, Any] = {} if given else {"include_dashboard": False}
        if not given:
            for variable, value in _QUIET.items():
                os.environ.setdefault(variable, value)
        try:
            self._ray.init(
                address=given or "local",
                namespace=NAMESPACE,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **more,
            )
        except Exception as error:  # noqa: BLE001 (Ray raises of every kind)
            where = f"the cluster at {given}" if given else "a cluster on this machine"
            told = f"{type(error).__name__}: {_first_line(error)}"
            wrong = isinstance(error, (ValueError, TypeError))
            text = f"engine ray: cannot {'reach' if given else 'start'} {where}: {told}"
            raise (ConfigError if wrong else StoppedError)(text) from None


def _import() -> Any:
    try:
        import ray  # noqa: PLC0415 (an extra)
        import ray.exceptions  # noqa: PLC0415
    except ImportError:
        raise ConfigError("engine ray: needs the extra: pip install 'pairmill[ray]'") from None
    return ray


def _first_line(error: Exception) -> str:
    return sanitize(str(error).strip().partition("\n")[0], _LONGEST) or type(error).__name__


def _cause(error: Exception) -> str:
    """Return what was raised in a worker, without its stack trace."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):
        return f"{type(cause).__name__}: {_first_line(cause)}"
    return _first_line(error)

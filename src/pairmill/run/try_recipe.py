"""Runs a recipe on a few units, to try a prompt; keeps nothing."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING

from pairmill import __version__
from pairmill.chunking.reader import read_chunks
from pairmill.config import fingerprint
from pairmill.errors import InputError, RejectedError
from pairmill.events import Bus, Notice
from pairmill.recipes.make import for_unit, make_recipe
from pairmill.recipes.repair import Asker, Questions
from pairmill.records import Rejection
from pairmill.run.connect import connected
from pairmill.run.run_memory import RunMemory
from pairmill.run.stop import Stop
from pairmill.service.recipes import TriedUnit
from pairmill.store.folder import open_folder
from pairmill.store.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.config import Settings
    from pairmill.records import Completion, Request

__all__ = ["try_units"]


async def try_units(settings: Settings, count: int, report: Callable[[TriedUnit], None]) -> None:
    """Run the recipe on the first units of the inputs, one after the other.

    Args:
        settings: All of them; ``output`` is a scratch folder.
        count: How many units.
        report: Called with each finished unit.

    Raises:
        PairmillError: The recipe, the inputs or the endpoint cannot be used.
    """
    recipe = make_recipe(settings)
    settings = for_unit(settings, recipe)
    chunks = list(islice(read_chunks(settings, lambda _note: None), count))
    if not chunks:
        what = (
            "no two articles in it are near enough in subject"
            if settings.chunks_by == "subject"
            else "holds no article"
        )
        raise InputError(f"{', '.join(settings.inputs)}: {what}")
    bus = Bus()
    notices: list[str] = []

    def listen(event: Notice) -> None:
        notices.append(event.text)

    bus.subscribe(listen, Notice)
    with (
        open_folder(
            settings.output,
            settings_fingerprint=fingerprint(settings),
            accept_change=False,
            version=__version__,
        ) as folder,
        Journal.open(
            folder,
            clock=time.monotonic,
            shard_bytes=settings.shard_bytes,
            shard_age_s=settings.shard_age_s,
        ),
        RunMemory(folder.state / "memory.db") as memory,
    ):
        async with connected(settings, recipe, bus, Stop(), folder, memory) as connection:
            questions = Questions(bus, model=settings.model, max_attempts=settings.max_attempts)
            for chunk in chunks:
                exchanges: list[tuple[Request, Completion]] = []

                async def complete(
                    request: Request, kept: list[tuple[Request, Completion]] = exchanges
                ) -> Completion:
                    completion = await connection.room.ask(request, connection.client.complete)
                    kept.append((request, completion))
                    return completion

                asker = Asker(questions, complete)
                try:
                    pairs = await recipe.write(chunk, asker)
                except RejectedError as error:
                    pairs = []
                    asker.drop(Rejection(error.reason, error.detail, error.raw))
                report(TriedUnit(chunk, exchanges, pairs, asker.dropped, asker.usage))

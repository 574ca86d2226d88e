"""What a run leaves behind beside its shards: the dataset card, the manifest, and a reason."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from pairmill import __version__
from pairmill.errors import StorageError
from pairmill.events import Event, Topic
from pairmill.output.card import write_card
from pairmill.output.facts import RunFacts
from pairmill.quality.trust import parse_figures
from pairmill.records import Outcome
from pairmill.store.fields import read_fields
from pairmill.store.manifest import write_manifest

if TYPE_CHECKING:
    from pairmill.config import Settings
    from pairmill.recipes.recipe import Recipe
    from pairmill.store.folder import RunFolder
    from pairmill.store.lookup import Lookup

__all__ = ["Ending"]

MAX_REASONS = 3


class Ending:
    """Keeps the run folder's card and manifest true, and explains a run that came to nothing."""

    TOPICS: ClassVar = (Topic.DOCUMENT_READ, Topic.INPUT_SKIPPED, Topic.SHARD_PUBLISHED)

    def __init__(
        self, folder: RunFolder, lookup: Lookup, recipe: Recipe, settings: Settings
    ) -> None:
        self._folder = folder
        self._lookup = lookup
        self._recipe = recipe
        self._settings = settings
        self._documents = 0
        self._skips: Counter[str] = Counter()
        self._first_skip = ""

    def listen(self, event: Event) -> None:
        """Take note of the input, and renew the card when a shard is published."""
        if event.topic is Topic.DOCUMENT_READ:
            count = event.fields.get("count")
            self._documents += count if isinstance(count, int) else 0
        elif event.topic is Topic.INPUT_SKIPPED:
            source, reason = event.fields.get("source"), str(event.fields.get("reason"))
            self._skips[reason.partition(":")[0]] += 1
            self._first_skip = self._first_skip or f"{source}: {reason}"
        else:
            with suppress(StorageError):  # an older card stands there, and the next one is written
                write_card(self._folder.path, self._facts(finished=False))

    @property
    def pairs(self) -> int:
        """Pairs that the folder holds now."""
        return self._lookup.totals().pairs

    @property
    def judged(self) -> tuple[int, int]:
        """Units that the model's answers could be used for, and those that were rejected."""
        units = self._lookup.totals().units
        bad = units.get(Outcome.REJECTED.value, 0)
        return sum(units.values()) - bad, bad

    def begin(self) -> None:
        """Write the card before the first shard, so that the folder loads at every moment."""
        write_card(self._folder.path, self._facts(finished=False))

    def finish(self, *, whole: bool) -> int:
        """Write the card and the manifest of what is there; return the number of pairs."""
        totals = self._lookup.totals()
        write_card(self._folder.path, self._facts(finished=whole))
        write_manifest(
            self._folder,
            self._lookup,
            facts={
                "recipe": self._recipe.name,
                "prompt_version": self._recipe.prompt_version,
                "finished": whole,
            },
        )
        return totals.pairs

    def why_no_chunk(self) -> str:
        """Explain a run in which nothing was left to work on."""
        names = ", ".join(self._settings.inputs)
        if not self._skips:
            return f"{names}: there is no article in it"
        most = ", ".join(f"{count} x {why}" for why, count in self._skips.most_common(MAX_REASONS))
        return f"{names}: no usable text ({most}; the first: {self._first_skip})"

    def why_no_pair(self) -> str:
        """Explain a run that wrote nothing."""
        totals = self._lookup.totals()
        reasons = ", ".join(
            f"{count} {reason}" for reason, count in list(totals.reasons.items())[:MAX_REASONS]
        )
        units = sum(totals.units.values())
        where = self._folder.rejected
        return (
            f"no pair was written out of {units} chunks ({reasons or 'all skipped'}); see {where}"
        )

    def _facts(self, *, finished: bool) -> RunFacts:
        totals = self._lookup.totals()
        return RunFacts(
            recipe=self._recipe.name,
            prompt_version=self._recipe.prompt_version,
            models=tuple(totals.models) or (self._settings.model,),
            version=__version__,
            documents=self._documents or None,
            units=sum(totals.units.values()),
            empty_units=totals.units.get(Outcome.EMPTY.value, 0),
            pairs=totals.pairs,
            rejections=totals.reasons,
            usage=totals.usage,
            figures=parse_figures(self._folder.read_figures()),
            fields=read_fields(self._folder.state),
            finished=finished,
        )

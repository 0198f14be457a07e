"""The Faust table that holds the state, and its changelog."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

import faust
from faust.types.tuples import FutureMessage

from reports.windows.state import partition_of


class StateTable(faust.Table[bytes, bytes]):
    """Bytes by key. A key begins with its partition, and its record goes to that partition of the changelog.

    Faust's own windowed tables are not used: a window that expires there leaves its record in the changelog, and the
    partition of a change is the one of the event at hand, which is wrong when events are worked on in batches.
    """

    def __init__(self, app: faust.App, *, changelog: str, **options: Any) -> None:
        self._changelog = changelog
        self._unconfirmed: list[FutureMessage] = []
        super().__init__(app, **options)

    def _changelog_topic_name(self) -> str:
        return self._changelog

    def on_key_set(self, key: Any, value: Any) -> None:
        """Send a change to the changelog."""
        self._unconfirmed.append(self.send_changelog(partition_of(key), key, value))

    def on_key_del(self, key: Any) -> None:
        """Send a removal to the changelog."""
        self._unconfirmed.append(self.send_changelog(partition_of(key), key, value=None, value_serializer="raw"))

    def write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Make the changes here, and send them to the changelog."""
        for key, value in changes:
            if value is not None:
                self[key] = value
            elif key in self:
                del self[key]

    async def confirmed(self) -> None:
        """Return when Kafka has all changes that were sent.

        Raises:
            Exception: one could not be written.
        """
        sent, self._unconfirmed = self._unconfirmed, []
        await asyncio.gather(*sent)

    def records(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield all keys and values of a partition."""
        return ((key, value) for key, value in self.items() if partition_of(key) == partition)

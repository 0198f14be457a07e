"""How far each judge of a list can be believed, in a word. Figures are kept for some minutes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from api.http.errors import ApiError
from api.schemas.trust import Figure
from api.services.resources import Services
from api.services.trust.report import trust
from storage.sql.evaluation_changes import EvaluationNotFound
from storage.sql.labels import Labels

KEPT_S = 600
BUDGET_S = 0.1
"""Seconds that one list may spend on figures that are not kept yet."""
_MAX_KEPT = 5_000


@dataclass(frozen=True, slots=True)
class TrustWord:
    """How far people agree with the present version of a judge.

    Attributes:
        word: `poor`, `fair`, `good` or `strong`; None where labels are too few for one.
        agreement: the share of pairs on which both agree; of scores there is none.
        pairs: of a label and a verdict.
    """

    word: str | None
    agreement: Figure | None
    pairs: int


class TrustWords:
    """The words of all teams' evaluations, which readers share. Safe to use from many threads.

    Args:
        monotonic_s: a clock, in seconds.
    """

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], tuple[float, TrustWord]] = OrderedDict()

    def of(
        self, services: Services, team_id: int, versions: Sequence[tuple[str, int]], now: datetime
    ) -> Mapping[str, TrustWord | None]:
        """Return the word of each evaluation that has labels.

        It is None while it is not known: the list does not wait longer than `BUDGET_S`, and the next reader finds more.

        Args:
            versions: id and present version of each evaluation.
        """
        labelled = Labels(services.database).labelled(team_id, [each for each, _ in versions])
        found: dict[str, TrustWord | None] = {}
        until = self._monotonic_s() + BUDGET_S
        for key in versions:
            if key[0] not in labelled:
                continue
            found[key[0]] = self._known(key)
            if found[key[0]] is None and self._monotonic_s() < until:
                found[key[0]] = self._made(services, team_id, key, now)
        return found

    def _known(self, key: tuple[str, int]) -> TrustWord | None:
        with self._lock:
            at, word = self._kept.get(key, (0.0, None))
        return word if word is not None and self._monotonic_s() - at < KEPT_S else None

    def _made(self, services: Services, team_id: int, key: tuple[str, int], now: datetime) -> TrustWord | None:
        try:
            found = trust(services, services.evaluations.get(team_id, key[0]), end=now)
        except (ApiError, EvaluationNotFound):
            return None
        agreement = found.agreement
        side = agreement.pass_fail or agreement.classes
        word = TrustWord(side.word if side else None, side.accuracy if side else None, agreement.pairs)
        with self._lock:
            self._kept[key] = (self._monotonic_s(), word)
            self._kept.move_to_end(key)
            if len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        return word

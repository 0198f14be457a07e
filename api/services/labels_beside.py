"""The labels of a generation beside the judge's verdicts on it."""

from __future__ import annotations

from dataclasses import dataclass

from api.schemas.actions import ResultShown
from api.services.conversations import Verdicts
from api.services.resources import Services
from quality.consensus import NoVote, Verdict, vote_of
from storage.sql.labels import Label, LabelQuery, Labels

_MOST = 100


@dataclass(frozen=True, slots=True)
class LabelBeside:
    """One label. `agrees` with the judge's newest verdict of the same evaluation; None if that cannot be said."""

    label: Label
    agrees: bool | None


def labels_beside(services: Services, team_id: int, event: str, verdicts: Verdicts) -> tuple[list[LabelBeside], bool]:
    """Return the newest label of each labeller, evaluation and question, newest first, and whether some are left out.

    At most 100 labels are read.
    """
    found, count = Labels(services.database).page(team_id, LabelQuery(target_event_id=event), limit=_MOST, offset=0)
    judged: dict[str, ResultShown] = {}
    for each in verdicts.rows:
        if each.result.verdict != "skipped":
            judged.setdefault(each.evaluation_id, each.result)
    newest: dict[tuple[str, int, str], Label] = {}
    for label in found:
        newest.setdefault((label.evaluation_id, label.question, label.labeller), label)
    shown = [LabelBeside(each, _agrees(each, judged.get(each.evaluation_id))) for each in newest.values()]
    return shown, count > len(found)


def _agrees(label: Label, result: ResultShown | None) -> bool | None:
    given = vote_of(label.verdict)
    if result is None or isinstance(given, NoVote):
        return None
    judged: Verdict = None
    if result.verdict != "not_applicable":
        kinds: dict[str, Verdict] = {"boolean": result.result, "numeric": result.score}
        judged = kinds.get(result.result_type, frozenset(result.categories))
    if given is None or judged is None:
        return given is judged
    # A definition whose kind of answer was changed meanwhile has labels that say nothing of this verdict.
    return given == judged if type(given) is type(judged) else None

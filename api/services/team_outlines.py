"""The evaluations of a team in outline, with the tables that pages look up in them.

A team may have ten thousand evaluations, so a page must not go through all of them: each table is made once per change
of the team's definitions, by the first page that needs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import overload

from api.http.errors import Invalid
from api.services.verdicts import stored_rule
from storage.clickhouse.query import PassRule
from storage.sql.evaluation_outlines import Outline

PLAIN_RULE = PassRule()


class TeamOutlines(Sequence[Outline]):
    """The outlines of one team by name in any case, as they were at one revision. Safe to share between threads.

    Attributes:
        revision: of the team's definitions.
    """

    def __init__(self, revision: int, outlines: Sequence[Outline]) -> None:
        self.revision = revision
        self._outlines = sorted(outlines, key=lambda each: each.name.lower())

    def __len__(self) -> int:
        return len(self._outlines)

    @overload
    def __getitem__(self, place: int) -> Outline: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Outline]: ...

    def __getitem__(self, place: int | slice) -> Outline | Sequence[Outline]:
        return self._outlines[place]

    @cached_property
    def by_id(self) -> Mapping[str, Outline]:
        """The outlines by the ids of their evaluations."""
        return {each.id: each for each in self._outlines}

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {each.id: place for place, each in enumerate(self._outlines)}

    @cached_property
    def _lower_names(self) -> Sequence[str]:
        return [each.name.lower() for each in self._outlines]

    @cached_property
    def _by_name(self) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = {}
        for each in self._outlines:
            found.setdefault(each.name.strip(), []).append(each.id)
        return found

    def written(self, evaluation_id: str) -> str:
        """Return how a text names an evaluation: by its name if no other has it, by its id otherwise."""
        name = self.by_id[evaluation_id].name.strip() if evaluation_id in self.by_id else ""
        return name if len(self._by_name.get(name, ())) == 1 else evaluation_id

    def named(self, text: str) -> str:
        """Return the id of the evaluation that an id or an exact name is of.

        Raises:
            Invalid: there is none, or several have the name.
        """
        if text in self.by_id:
            return text
        found = self._by_name.get(text.strip(), ())
        if len(found) == 1:
            return found[0]
        if found:
            raise Invalid(f"{len(found)} evaluations have this name; give the id of one.", attr="evaluation")
        raise Invalid("No evaluation of this team has this id or name.", attr="evaluation")

    @cached_property
    def enabled(self) -> int:
        """How many evaluations are active."""
        return sum(each.status == "active" for each in self._outlines)

    @cached_property
    def stopped(self) -> Sequence[Outline]:
        """The evaluations that stopped by an error, or for another reason that is known."""
        return [each for each in self._outlines if each.status == "error" or each.status_reason]

    @cached_property
    def rules(self) -> Mapping[str, PassRule]:
        """The rules of evaluations whose results read otherwise than "true passes", by id."""
        # Most are plain. They are passed over before a rule is made, because that takes longer.
        others = (
            each
            for each in self._outlines
            if each.output_type != "boolean" or each.output_config.get("true_is_failure")
        )
        rules = ((each.id, stored_rule(each.output_type, each.output_config)) for each in others)
        return {evaluation_id: rule for evaluation_id, rule in rules if rule != PLAIN_RULE}

    def matching(self, text: str, status: str, kind: str) -> Sequence[Outline]:
        """Return the outlines whose name holds `text` in any case, of a status and of a type; empty means any."""
        if not (text or status or kind):
            return self._outlines
        text = text.lower()
        return [
            each
            for each, name in zip(self._outlines, self._lower_names, strict=True)
            if text in name and status in ("", each.status) and kind in ("", each.evaluation_type)
        ]

    def name_of(self, evaluation_id: object) -> str:
        """Return the name of an evaluation, or words for one that the team does not have any more."""
        found = self.by_id.get(str(evaluation_id))
        return "a deleted evaluation" if found is None else found.name

    def in_order(self, ids: Mapping[str, object]) -> list[Outline]:
        """Return the outlines of those `ids` that the team has, by name."""
        places = self._places
        return [self._outlines[place] for place in sorted(places[each] for each in ids if each in places)]

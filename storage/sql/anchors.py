"""Drift anchors: which golden items are judged again and again, and what the test says of the judge.

An evaluation has at most one schedule. Each version has baselines of its own, and the newest one is in use:

    collecting ──five counted runs──▶ watching ──acknowledge, or another version──▶ closed, and a new one collects

A run is counted in one transaction with the state of the test, so it is counted once whatever process dies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.sql.audit import record
from storage.sql.engine import Database
from storage.sql.tables import UtcDateTime, json_column, metadata

BaselineState = Literal["collecting", "watching", "closed"]
_SHOWN = 100

anchor_schedules = sa.Table(
    "anchor_schedules",
    metadata,
    sa.Column("evaluation_id", sa.String(36), primary_key=True),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("golden_set", sa.String(36), nullable=False),
    sa.Column("golden_set_version", sa.Integer, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("every_hours", sa.Float, nullable=False),
    sa.Column("canaries", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("next_at", UtcDateTime, nullable=False),
    sa.Column("run_id", sa.String(36)),
    sa.Column("run_since", UtcDateTime),
    sa.Column("counted_at", UtcDateTime),
    sa.Column("begun_at", UtcDateTime),
    sa.Column("hurried_at", UtcDateTime),
    sa.Column("answer", sa.String(16), nullable=False, server_default="collecting"),
    sa.Column("created_by", sa.String(200)),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Index("ix_anchor_schedules_next", "enabled", "next_at"),
)

anchor_baselines = sa.Table(
    "anchor_baselines",
    metadata,
    sa.Column("evaluation_id", sa.ForeignKey(anchor_schedules.c.evaluation_id), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("golden_set", sa.String(36), nullable=False),
    sa.Column("golden_set_version", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    json_column("reference", nullable=True),
    sa.Column("null_rate", sa.Float),
    sa.Column("tolerance", sa.Float),
    json_column("evidence", nullable=True),
    sa.Column("runs", sa.Integer, nullable=False, server_default="0"),
    sa.Column("good_at", UtcDateTime),
    sa.Column("alarm_at", UtcDateTime),
    sa.Column("agreed_before", sa.Integer),
    sa.Column("labelled_before", sa.Integer),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("ended_at", UtcDateTime),
    sa.Column("ended_by", sa.String(200)),
)

anchor_runs = sa.Table(
    "anchor_runs",
    metadata,
    sa.Column("run_id", sa.String(36), primary_key=True),
    sa.Column("evaluation_id", sa.ForeignKey(anchor_schedules.c.evaluation_id), nullable=False),
    sa.Column("baseline", sa.Integer, nullable=False),
    sa.Column("begun_at", UtcDateTime, nullable=False),
    sa.Column("ended_at", UtcDateTime, nullable=False),
    sa.Column("counted", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("anchors", sa.Integer, nullable=False, server_default="0"),
    sa.Column("flips", sa.Integer),
    sa.Column("to_pass", sa.Integer),
    sa.Column("to_fail", sa.Integer),
    sa.Column("agreed", sa.Integer, nullable=False, server_default="0"),
    sa.Column("labelled", sa.Integer, nullable=False, server_default="0"),
    sa.Column("statistic", sa.Float),
    sa.Index("ix_anchor_runs_evaluation", "evaluation_id", "ended_at"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorSchedule:
    """Which anchors an evaluation has.

    Attributes:
        canaries: whether attacks on the judge go with the anchors.
        next_at: when the next run is due. run_id: the run that is under way, since `run_since`.
        counted_at: when the newest counted run ended.
        begun_at: when the newest run began.
        hurried_at: when a change of the served model last brought a run forward.
        answer: the newest one that was signalled; see `quality.drift.who_moved`.
    """

    evaluation_id: str
    team_id: int
    enabled: bool
    golden_set: str
    golden_set_version: int
    size: int
    every_hours: float
    canaries: bool
    next_at: datetime
    run_id: str | None
    run_since: datetime | None
    counted_at: datetime | None
    answer: str
    created_by: str | None
    created_at: datetime
    begun_at: datetime | None = None
    hurried_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorBaseline:
    """The reference of one version, and the state of its test.

    Attributes:
        reference: item → the usual verdict, as a stored label; None while it is collecting.
        evidence: of `quality.drift.Detector`. runs: counted runs since the reference was taken.
        good_at: when the newest run began whose statistic spoke against a drift.
        alarm_at: when the alarm was raised, which stands until it is acknowledged.
        agreed_before, labelled_before: agreement of the reference with the anchors' labels.
    """

    evaluation_id: str
    number: int
    version: int
    fingerprint: str
    golden_set: str
    golden_set_version: int
    state: BaselineState
    reference: Mapping[str, Mapping[str, Any]] | None
    null_rate: float | None
    tolerance: float | None
    evidence: Sequence[float] | None
    runs: int
    good_at: datetime | None
    alarm_at: datetime | None
    agreed_before: int | None
    labelled_before: int | None
    started_at: datetime
    ended_at: datetime | None
    ended_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorRun:
    """A run that has ended.

    Attributes:
        counted: whether the test took it. One whose provider failed is not counted, and `reason` says so.
        anchors: verdicts that came back. flips, statistic: None for a baseline run and one that is not counted.
        agreed, labelled: agreement with the anchors' labels.
    """

    run_id: str
    evaluation_id: str
    baseline: int
    begun_at: datetime
    ended_at: datetime
    counted: bool
    reason: str = ""
    anchors: int = 0
    flips: int | None = None
    to_pass: int | None = None
    to_fail: int | None = None
    agreed: int = 0
    labelled: int = 0
    statistic: float | None = None


class Anchors:
    """The anchors of all teams. Every method is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, team_id: int, evaluation_id: str) -> AnchorSchedule | None:
        """Return the schedule of an evaluation, or None."""
        column = anchor_schedules.c
        statement = sa.select(anchor_schedules).where(column.team_id == team_id, column.evaluation_id == evaluation_id)
        with self._database.read() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else AnchorSchedule(**row)

    def every(self) -> list[AnchorSchedule]:
        """Return the enabled schedules of all teams, those that are due first."""
        column = anchor_schedules.c
        statement = sa.select(anchor_schedules).where(column.enabled).order_by(column.next_at, column.evaluation_id)
        with self._database.read() as connection:
            return [AnchorSchedule(**row) for row in connection.execute(statement).mappings()]

    def of_team(self, team_id: int) -> list[AnchorSchedule]:
        """Return the enabled schedules of a team."""
        column = anchor_schedules.c
        statement = sa.select(anchor_schedules).where(column.team_id == team_id, column.enabled)
        with self._database.read() as connection:
            rows = connection.execute(statement.order_by(column.evaluation_id)).mappings()
            return [AnchorSchedule(**row) for row in rows]

    def put(self, schedule: AnchorSchedule, *, actor: str, now: datetime) -> AnchorSchedule:
        """Store a schedule and return it. Other anchors begin with a new baseline; the run under way goes on."""
        column = anchor_schedules.c
        mine = column.evaluation_id == schedule.evaluation_id
        with self._database.write() as connection:
            before = connection.execute(sa.select(anchor_schedules).where(mine)).mappings().one_or_none()
            if before is None:
                connection.execute(sa.insert(anchor_schedules).values(asdict(schedule)))
            else:
                kept = {
                    "run_id", "run_since", "counted_at", "begun_at", "hurried_at", "answer", "created_by", "created_at",
                }  # fmt: skip
                changed = {name: value for name, value in asdict(schedule).items() if name not in kept}
                connection.execute(sa.update(anchor_schedules).where(mine).values(changed))
            names = ("enabled", "golden_set", "golden_set_version", "size", "every_hours", "canaries")
            record(
                connection, team_id=schedule.team_id, object_type="anchors", object_id=schedule.evaluation_id,
                action="created" if before is None else "updated", actor=actor, at=now,
                changes={name: [before[name] if before else None, getattr(schedule, name)] for name in names},
            )  # fmt: skip
            return AnchorSchedule(**connection.execute(sa.select(anchor_schedules).where(mine)).mappings().one())

    def begin(self, evaluation_id: str, run_id: str, *, now: datetime) -> bool:
        """Say that a run begins. False: another run is under way."""
        column = anchor_schedules.c
        free = (column.evaluation_id == evaluation_id, column.run_id.is_(None))
        with self._database.write() as connection:
            change = sa.update(anchor_schedules).where(*free).values(run_id=run_id, run_since=now, begun_at=now)
            return connection.execute(change).rowcount == 1

    def hurry(self, evaluation_id: str, *, now: datetime, at_least: timedelta) -> bool:
        """Make the next run due now. False: another one was brought forward less than `at_least` ago."""
        column = anchor_schedules.c
        rested = sa.or_(column.hurried_at.is_(None), column.hurried_at <= now - at_least)
        change = sa.update(anchor_schedules).where(column.evaluation_id == evaluation_id, rested)
        with self._database.write() as connection:
            return connection.execute(change.values(next_at=now, hurried_at=now)).rowcount == 1

    def postpone(self, evaluation_id: str, next_at: datetime, *, run_id: str | None = None) -> None:
        """Set when the next run is due. With `run_id`, forget that run, which was never asked for or does not count."""
        column = anchor_schedules.c
        change = sa.update(anchor_schedules).where(column.evaluation_id == evaluation_id)
        values: dict[str, Any] = {"next_at": next_at}
        if run_id is not None:
            change = change.where(column.run_id == run_id)
            values |= {"run_id": None, "run_since": None}
        with self._database.write() as connection:
            connection.execute(change.values(values))

    def signalled(self, evaluation_id: str, before: str, answer: str) -> None:
        """Remember the answer that was signalled."""
        column = anchor_schedules.c
        mine = (column.evaluation_id == evaluation_id, column.answer == before)
        with self._database.write() as connection:
            connection.execute(sa.update(anchor_schedules).where(*mine).values(answer=answer))

    def baseline(self, evaluation_id: str) -> AnchorBaseline | None:
        """Return the newest baseline, or None."""
        with self._database.read() as connection:
            return _newest(connection, evaluation_id)

    def baselines(self, evaluation_id: str) -> list[AnchorBaseline]:
        """Return the newest baselines of an evaluation, the newest first."""
        column = anchor_baselines.c
        statement = sa.select(anchor_baselines).where(column.evaluation_id == evaluation_id)
        with self._database.read() as connection:
            found = connection.execute(statement.order_by(column.number.desc()).limit(_SHOWN)).mappings()
            return [AnchorBaseline(**row) for row in found]

    def renew(
        self, schedule: AnchorSchedule, version: int, fingerprint: str, *, actor: str | None, now: datetime
    ) -> AnchorBaseline:
        """Close the newest baseline, which is kept, and return a new one that collects. Its first run is due now."""
        with self._database.write() as connection:
            old = _newest(connection, schedule.evaluation_id)
            mine = anchor_baselines.c.evaluation_id == schedule.evaluation_id
            connection.execute(
                sa.update(anchor_baselines)
                .where(mine, anchor_baselines.c.state != "closed")
                .values(state="closed", ended_at=now, ended_by=actor)
            )
            new = {
                "evaluation_id": schedule.evaluation_id, "number": 1 if old is None else old.number + 1,
                "version": version, "fingerprint": fingerprint, "golden_set": schedule.golden_set,
                "golden_set_version": schedule.golden_set_version, "state": "collecting", "runs": 0,
                "started_at": now,
            }  # fmt: skip
            connection.execute(sa.insert(anchor_baselines).values(new))
            values = {"next_at": now, "answer": "collecting"}
            connection.execute(
                sa.update(anchor_schedules)
                .where(anchor_schedules.c.evaluation_id == schedule.evaluation_id)
                .values(values)
            )
            record(
                connection, team_id=schedule.team_id, object_type="anchors", object_id=schedule.evaluation_id,
                action="baseline", actor=actor, at=now, changes={"baseline": [old and old.number, new["number"]]},
            )  # fmt: skip
            found = _newest(connection, schedule.evaluation_id)
        assert found is not None  # noqa: S101  # inserted above
        return found

    def count(self, run: AnchorRun, baseline: AnchorBaseline, next_at: datetime) -> bool:
        """Store an ended run and the state of the test after it. False: it is stored already, or not the present one.

        Args:
            baseline: as it is after the run.
        """
        schedule, base = anchor_schedules.c, anchor_baselines.c
        mine = (schedule.evaluation_id == run.evaluation_id, schedule.run_id == run.run_id)
        values: dict[str, Any] = {"run_id": None, "run_since": None, "next_at": next_at}
        if run.counted:
            values["counted_at"] = run.ended_at
        changed = {
            each.name: getattr(baseline, each.name)
            for each in fields(AnchorBaseline)
            if each.name not in ("evaluation_id", "number")
        }
        with self._database.write() as connection:
            if connection.execute(sa.update(anchor_schedules).where(*mine).values(values)).rowcount != 1:
                return False
            connection.execute(sa.insert(anchor_runs).values(asdict(run)))
            same = (base.evaluation_id == run.evaluation_id, base.number == baseline.number, base.state != "closed")
            connection.execute(sa.update(anchor_baselines).where(*same).values(changed))
        return True

    def runs(self, evaluation_id: str, *, baseline: int | None = None, limit: int = _SHOWN) -> list[AnchorRun]:
        """Return ended runs, the newest first."""
        column = anchor_runs.c
        statement = sa.select(anchor_runs).where(column.evaluation_id == evaluation_id)
        if baseline is not None:
            statement = statement.where(column.baseline == baseline)
        statement = statement.order_by(column.ended_at.desc(), column.run_id).limit(limit)
        with self._database.read() as connection:
            return [AnchorRun(**row) for row in connection.execute(statement).mappings()]


def closed_by_version(baseline: AnchorBaseline | None, fingerprint: str, schedule: AnchorSchedule) -> bool:
    """Return whether a new baseline is due: another version, or other anchors, or there is none."""
    if baseline is None or baseline.state == "closed" or baseline.fingerprint != fingerprint:
        return True
    mine = (baseline.golden_set, baseline.golden_set_version)
    return mine != (schedule.golden_set, schedule.golden_set_version)


def with_alarm(baseline: AnchorBaseline, at: datetime) -> AnchorBaseline:
    """Return a baseline whose alarm stands from now on."""
    return replace(baseline, alarm_at=baseline.alarm_at or at)


def _newest(connection: Connection, evaluation_id: str) -> AnchorBaseline | None:
    column = anchor_baselines.c
    statement = sa.select(anchor_baselines).where(column.evaluation_id == evaluation_id)
    row = connection.execute(statement.order_by(column.number.desc()).limit(1)).mappings().one_or_none()
    return None if row is None else AnchorBaseline(**row)

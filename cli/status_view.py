"""An overview as a person sees it in a terminal, and as scripts read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.findings import find_problems, live
from cli.terminal import printable

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from cli.overview import Overview, Problem
    from storage.sql.heartbeats import Heartbeat

_COLOURS = {"running": "green", "starting": "yellow", "waiting": "yellow", "blocked": "red", "failed": "red"}
_RATE_OF = {"matcher": "results", "judge": "results", "sink": "sink_rows", "ingest": "ingest_events"}
_PROBLEMS_SHOWN, _LINES_SHOWN = 12, 5
_HIDDEN_AFTER_S = 3600.0


def as_json(seen: Overview) -> dict[str, Any]:
    """Return the overview for scripts."""
    store, kafka = seen.store, seen.kafka
    return {
        "at": seen.at.isoformat(),
        "took_s": round(seen.took_s, 3),
        "problems": [problem.as_json() for problem in find_problems(seen)],
        "processes": [_process(beat) for beat in (store.heartbeats if store else [])],
        "store": None if store is None else {"dialect": store.dialect},
        "evaluations_in_error": [
            {"team_id": each.team_id, "id": each.evaluation_id, "name": each.name, "reason": each.reason}
            for each in (store.errored if store else [])
        ],
        "budgets": [
            {"owner": each.owner, "period": each.period, "share": each.share}
            for each in (store.budgets if store else [])
        ],
        "kafka": None
        if kafka is None
        else {
            "brokers": kafka.brokers,
            "missing_topics": kafka.missing,
            "lag": kafka.lag,
            "groups": {role: {"state": state, "members": count} for role, (state, count) in kafka.groups.items()},
            "dead_letters": kafka.dead_letters,
        },
        "clickhouse": None if seen.clickhouse is None else {"version": seen.clickhouse},
    }


def _process(beat: Heartbeat) -> dict[str, Any]:
    vitals = beat.vitals
    return {
        "role": beat.role,
        "instance": beat.instance,
        "version": beat.version,
        "state": "missing" if beat.missing else vitals.state,
        "reason": vitals.reason,
        "started": beat.started.isoformat(),
        "seen": beat.seen.isoformat(),
        "age_s": round(beat.age_s, 1),
        "assignment": vitals.assignment,
        "counters": vitals.counters,
        "details": vitals.details,
    }


def screen(seen: Overview) -> Group:
    """Return the overview as rich shows it."""
    from rich.console import Group
    from rich.text import Text

    problems = find_problems(seen)
    parts: list[Any] = [_head(seen, problems), _processes(seen)]
    parts.append(Text(_foot(seen), style="dim"))
    if problems:
        parts.append(_problem_table(problems))
    lines = _last_lines(seen)
    if lines:
        parts.append(lines)
    return Group(*parts)


def _head(seen: Overview, problems: list[Problem]) -> Text:
    from rich.text import Text

    head = Text(f"Gavel  {seen.at:%Y-%m-%d %H:%M:%S} UTC   ")
    away = "not reached" if seen.whole else "is asked"
    kafka = away if seen.kafka is None else f"{seen.kafka.brokers} broker{'s'[: seen.kafka.brokers != 1]}"
    for name, value, well in (
        ("store", away if seen.store is None else seen.store.dialect, seen.store is not None),
        ("kafka", kafka, seen.kafka is not None),
        ("clickhouse", seen.clickhouse or away, seen.clickhouse is not None),
    ):
        head.append(f"{name} ")
        head.append(f"{value}   ", style="green" if well else "bold red" if seen.whole else "dim")
    errors = sum(problem.severity == "error" for problem in problems)
    if errors:
        head.append(f"{errors} error{'s'[: errors != 1]}", style="bold red")
    elif problems:
        head.append(f"{len(problems)} warning{'s'[: len(problems) != 1]}", style="yellow")
    else:
        head.append("all well", style="bold green")
    return head


def _processes(seen: Overview) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("Role", "Instance", "Version", "State", "Up"):
        table.add_column(name, no_wrap=True)
    for name in ("Partitions", "Lag", "In/s", "Out/s", "Commits/s", "In flight", "Dead"):
        table.add_column(name, justify="right", no_wrap=True)
    for beat in seen.store.heartbeats if seen.store else []:
        if beat.age_s > _HIDDEN_AFTER_S or (beat.vitals.state == "stopped" and beat.age_s > _HIDDEN_AFTER_S / 10):
            continue
        state = "missing" if beat.missing else beat.vitals.state
        table.add_row(
            beat.role,
            printable(beat.instance),
            printable(beat.version),
            Text(state, style=_COLOURS.get(state, "dim")),
            _duration((beat.seen - beat.started).total_seconds()),
            *_figures(beat),
        )
    return table


def _figures(beat: Heartbeat) -> list[str]:
    vitals = beat.vitals
    rates = vitals.details.get("rates") or {}
    count = sum(len(numbers) for numbers in vitals.assignment.values())
    lag, lag_s = vitals.details.get("lag") or {}, vitals.details.get("lag_s") or {}
    behind_s = max(lag_s.values(), default=0.0)
    paused = vitals.details.get("paused")
    held = sum(len(numbers) for numbers in paused.values()) if isinstance(paused, dict) else 0
    return [
        (f"{count} ({held} paused)" if held else str(count)) if vitals.assignment else "",
        (f"{sum(lag.values()):,}" + (f" ({_duration(behind_s)})" if behind_s >= 1 else "")) if lag else "",
        _rate(rates.get("records_consumed")),
        _rate(rates.get(_RATE_OF.get(beat.role, ""))),
        _rate(rates.get("commits")),
        f"{vitals.details['in_flight']:,}" if "in_flight" in vitals.details else "",
        f"{vitals.counters.get('dead_letters', 0):,.0f}",
    ]


def _foot(seen: Overview) -> str:
    beats = live(seen.store)
    parked = [beat.vitals.details.get("parked") or {} for beat in beats]
    waiting = sum(int(each.get("records", 0)) for each in parked)
    oldest_s = max((float(each.get("oldest_s", 0.0)) for each in parked), default=0.0)
    cost = sum(beat.vitals.counters.get("judge_cost_usd", 0) for beat in beats)
    calls = sum((beat.vitals.details.get("rates") or {}).get("judge_calls", 0) for beat in beats)
    since = f", the oldest for {_duration(oldest_s)}" if waiting else ""
    parts = [f"judge calls {calls:,.1f}/s, ${cost:,.4f} since start", f"{waiting:,} parked runs wait{since}"]
    if seen.kafka is not None:
        parts.append(f"{seen.kafka.dead_letters:,} records in the dead letters (gavel dlq list)")
        groups = ", ".join(f"{role} {state} ({count})" for role, (state, count) in seen.kafka.groups.items())
        parts.append(f"groups: {groups}" if groups else "groups: the broker does not say")
    if seen.store is not None and seen.store.budgets:
        parts.append("budgets: " + ", ".join(f"{each.owner} {each.share:.0%}" for each in seen.store.budgets[:3]))
    return " · ".join(parts)


def _problem_table(problems: list[Problem]) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    for name in ("Where", "What is wrong", "What to do"):
        table.add_column(name, overflow="fold")
    for problem in problems[:_PROBLEMS_SHOWN]:
        style = "red" if problem.severity == "error" else "yellow"
        table.add_row(*(escape(printable(text)) for text in (problem.where, problem.what, problem.remedy)), style=style)
    if len(problems) > _PROBLEMS_SHOWN:
        table.add_row("", f"and {len(problems) - _PROBLEMS_SHOWN} more", "--json shows all")
    return table


def _last_lines(seen: Overview) -> Table | None:
    """Return the newest warnings and errors of the logs, each once."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    lines: dict[tuple[str, str], tuple[str, str, str]] = {}
    for beat in live(seen.store):
        for line in beat.vitals.details.get("problems") or ():
            key = (str(line.get("event")), str(line.get("text")))
            lines[key] = (str(line.get("at"))[:19].replace("T", " "), beat.role, f"{key[0]}  {key[1]}")
    if not lines:
        return None
    table = Table("Last in the logs", "Role", "Line", box=box.SIMPLE_HEAD, pad_edge=False)
    for at, role, text in sorted(lines.values())[-_LINES_SHOWN:]:
        table.add_row(escape(printable(at)), role, escape(printable(text[:240])), style="dim")
    return table


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"

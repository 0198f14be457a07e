"""Long texts for prompts: a service's log, a meeting's transcript, a handbook. Other ones for every draw."""

from __future__ import annotations

import random
from collections.abc import Callable

PEOPLE = ("Priya", "Jonas", "Marta", "Tom", "Ayşe", "Wei")
REMARKS = (
    "I'd rather move the release to Thursday, the migration is not through review yet.",
    "Fine with me. Who tells the customers?",
    "I can do that today, I talk to them anyway.",
    "The alerts are too loud: I was woken twice, and both times it had healed itself.",
    "Then let's send those to the on-call channel only, and page when the budget burns.",
    "What about billing? Nobody owns that migration since Luis left.",
    "I can ask in my team, but not before Friday.",
    "Sorry, I was muted. I said that the load test found a leak in the image service.",
    "Is that the one with the thumbnails, or the upload?",
    "Thumbnails. It grows by about forty megabytes an hour.",
    "Restarting it nightly is not a plan.",
    "No, but it is a plan until Monday.",
    "Could we please end five minutes early, I need to pick up my son.",
    "One more thing: the offsite. Lisbon or Gdańsk?",
    "Let's vote in the chat. And please write down what you eat.",
    "I'd like to come back to the flaky test. It fails one time in thirty.",
    "That one depends on the clock; I have a branch that takes the time as an argument.",
    "Good. Then we don't retry it, we merge your branch.",
)
EVENTS = (
    "INFO  http request finished method=GET path=/api/projects status=200 duration_ms={n}",
    "INFO  http request finished method=POST path=/api/tasks status=201 duration_ms={n}",
    "INFO  cache refreshed entries={n}",
    "DEBUG health check passed in {n} ms",
    "INFO  job finished queue=thumbnails took_ms={n}",
    "WARN  slow query took_ms={n} statement=select_open_tasks",
)
ENDING = (
    "WARN  connection pool exhausted size=20 waiting={n}",
    "ERROR request timed out after 30000 ms path=/api/projects waiting={n}",
    "ERROR health check failed: could not get a connection within 5000 ms",
    "WARN  liveness probe failed 3 times",
    "INFO  received SIGTERM, draining {n} requests",
)
SECTIONS = (
    ("Working hours", "Core time is from ten to three. Outside of it everybody arranges the day as it fits the team."),
    (
        "Home office",
        "Up to three days a week, agreed with the team lead; from another country for at most 20 days a year.",
    ),
    ("Sick notes", "Tell your lead before ten o'clock. A doctor's note is needed from the fourth day on."),
    ("Overtime", "Overtime is written down and taken as time off within eight weeks. It is paid only if ordered."),
    ("Training budget", "1,500 euros and five days a year; unspent money does not move to the next year."),
    ("Bike lease", "After the probation period, one bike each, over 36 months. People Operations sends the contract."),
    (
        "Parental leave",
        "Requests go through the portal, at least seven weeks ahead. Part-time during the leave is possible.",
    ),
    (
        "Travel",
        "Trains before planes where the journey takes less than six hours. Trips over 1,000 euros need an approval.",
    ),
    ("Equipment", "A laptop is replaced after four years. Broken devices are repaired first."),
    ("Security", "Report lost devices within the hour, at any time of day. Nobody is blamed for reporting."),
)


def log(source: random.Random, calm_lines: int | None = None) -> str:
    """Return a service's log that ends with its restart, after 20 to 85 other lines if no number is given."""
    lines, second = [], source.randrange(36_000)
    calm = [source.choice(EVENTS) for _ in range(calm_lines or source.randint(20, 85))]
    for event in (*calm, *ENDING):
        second += source.randint(0, 4)
        clock = f"{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}.{source.randrange(1000):03}"
        lines.append(f"2026-02-11T{clock}Z {event.format(n=source.randint(2, 900))}")
    return "\n".join(lines)


def long_log(source: random.Random) -> str:
    """Return a log of 400 to 900 lines."""
    return log(source, source.randint(400, 900))


def transcript(source: random.Random) -> str:
    """Return a meeting of 10 to 40 remarks."""
    remarks = [source.choice(REMARKS) for _ in range(source.randint(10, 40))]
    return "\n".join(f"{source.choice(PEOPLE)}: {remark}" for remark in remarks)


def handbook(source: random.Random) -> str:
    """Return three to nine sections of a company's handbook."""
    chosen = source.sample(SECTIONS, source.randint(3, len(SECTIONS) - 1))
    return "\n\n".join(f"§ {source.randint(1, 60)} {title}\n{text}" for title, text in chosen)


DOCUMENTS: dict[str, Callable[[random.Random], str]] = {
    "log": log,
    "long_log": long_log,
    "transcript": transcript,
    "handbook": handbook,
}

"""The tables of conventions as the documentation shows them."""

from __future__ import annotations

from ingest.otlp import conventions
from ingest.otlp.conventions import Source

BEGIN, END = "<!-- conventions -->", "<!-- /conventions -->"
"""The marks in docs/sending-events.md between which the tables stand."""


def page_text(present: str) -> str:
    """Return docs/sending-events.md with the tables of this release in it.

    Raises:
        ValueError: the page lacks the marks.
    """
    before, begin, rest = present.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/sending-events.md lacks the marks {BEGIN} and {END}; put them where the tables belong")
    return f"{before}{BEGIN}\n{_rules()}\n{_properties()}{END}{after}"


def _rules() -> str:
    lines = ["| rule | `$ai_generation` | `$ai_embedding` |", "|---|---|---|"]
    for rule in conventions.KIND_RULES:
        name = f"{rule.attribute}*" if rule.attribute.endswith(".") else rule.attribute
        lines.append(f"| `{name}` | {_values(rule.generation)} | {_values(rule.embedding)} |")
    lines.append("| a model, and messages or token counts | yes | |")
    return "\n".join(lines) + "\n"


def _values(values: tuple[str, ...]) -> str:
    return ", ".join(f"`{each}`" for each in values)


def _properties() -> str:
    names = tuple(conventions.LIBRARIES)
    lines = [f"| property | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    tables = (
        conventions.GENERATION_PROPERTIES,
        conventions.PROPERTIES,
        conventions.OF_SPAN_OR_RESOURCE,
        conventions.SPAN_PROPERTIES,
    )
    for table in tables:
        for name, sources in table.items():
            cells = [", ".join(_source(each) for each in sources if each.convention == column) for column in names]
            lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _source(source: Source) -> str:
    if source.how in ("indexed_text", "indexed_schema"):
        return f"`{source.key}.N.{source.part}`"
    if source.how in ("indexed_messages", "indexed_functions"):
        return f"`{source.key}.N.…`"
    if source.how == "prefix":
        return f"`{source.key}*`"
    if source.how == "vercel_question":
        return f"the user's last message of `{source.key}`"
    if source.how == "vercel_answer":
        return f"`{source.key}.text`, `{source.key}.toolCalls`, `{source.key}.object`"
    if source.how == "finish_reason":
        return "`finish_reason` of the last output message"
    if source.how == "field":
        return f"`{source.key}` (`{source.part}`)"
    if source.how in ("message_events", "choice_events"):
        return f"events `{source.key}`"
    if source.how in ("details_input", "details_output", "event_value"):
        return f"`{source.key}` of the event `{source.part}`"
    return f"`{source.key}`"

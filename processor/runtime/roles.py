"""How each role is put together from the settings."""

from __future__ import annotations

from collections.abc import Callable

from processor.matcher.late import late_matcher
from processor.matcher.role import build_matcher
from processor.role_context import RoleContext
from processor.sink.role import build_sink
from processor.stream.stage import Stage


def build_judge(context: RoleContext) -> Stage:
    """Return the judge: tasks in, LLM results out."""
    from processor.judge.role import build_judge_stage  # with the provider's package, which takes a second to load

    return build_judge_stage(context, late_matcher(context))


BUILDERS: dict[str, Callable[[RoleContext], Stage]] = {
    "matcher": build_matcher,
    "judge": build_judge,
    "sink": build_sink,
}

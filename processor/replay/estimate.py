"""The cost of the judge runs of a replay, estimated before any is made."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from conditions import decode_row
from config.judge_request import estimate_of
from config.model_resolution import ResolvedModel, TeamKeys, Unresolved, resolve_model
from config.prices import PriceTable
from config.settings.sections import Judge as JudgeSettings
from processor.events.generation import to_generation
from processor.events.output import Output
from processor.events.task import read_task
from storage.snapshot import Snapshot


def make_estimator(
    snapshot: Snapshot, keys_of: Callable[[int], TeamKeys], settings: JudgeSettings, prices: PriceTable
) -> Callable[[Output], tuple[int, float | None]]:
    """Return a function from a task output to (tokens, US dollars).

    The dollars are None where no key and model can be found, or the model has no price.
    """

    def estimated(output: Output) -> tuple[int, float | None]:
        task = read_task(output.headers)
        found = snapshot.find(task.team_id, task.evaluation_id)
        if found is None or output.value is None:
            return 0, None
        definition = found.definition
        model: ResolvedModel | None = None
        with suppress(Unresolved):  # the tokens are known all the same
            model = resolve_model(definition.model_configuration, keys_of(task.team_id), settings, ignore_state=True)
        generation = to_generation(decode_row(output.value))
        used = estimate_of(definition, model, generation, settings, prices.cost)
        return used.tokens, used.cost_usd

    return estimated

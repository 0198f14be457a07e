"""What the judge runs of a replay would cost, before any is made."""

from __future__ import annotations

from collections.abc import Callable

from conditions import decode_row
from config.model_resolution import TeamKeys, Unresolved, resolve_model
from config.prices import PriceTable
from config.settings.sections import Judge as JudgeSettings
from config.snapshot import Snapshot
from evaluators.llm_judge import transcribe
from processor.events.generation import to_generation
from processor.events.task import read_task
from processor.ledger import Output

_CHARS_PER_TOKEN = 4
_ANSWER_TOKENS = 150
_PROMPT_CHARS = 2_000


def make_estimator(
    snapshot: Snapshot, keys_of: Callable[[int], TeamKeys], settings: JudgeSettings, prices: PriceTable
) -> Callable[[Output], tuple[int, float | None]]:
    """Return a function from a task output to (tokens, US dollars).

    The dollars are None where no key and model can be found, or the model has no price. Tokens are by the
    length of the text: four characters each.
    """

    def estimate(output: Output) -> tuple[int, float | None]:
        task = read_task(output.headers)
        evaluation = snapshot.find(task.team_id, task.evaluation_id)
        criteria = None if evaluation is None else evaluation.definition.prompt
        if evaluation is None or criteria is None or output.value is None:
            return 0, None
        definition = evaluation.definition
        judged = to_generation(decode_row(output.value))
        transcript = transcribe(judged.input, judged.output, judged.properties.get("$ai_tools"))
        chars = sum(map(len, (*transcript.messages, transcript.output, *transcript.tools)))
        chars = min(chars, settings.max_prompt_chars) + len(criteria) + _PROMPT_CHARS
        tokens = chars // _CHARS_PER_TOKEN
        try:
            model = resolve_model(definition.model_configuration, keys_of(task.team_id), settings, ignore_state=True)
        except Unresolved:
            return tokens + _ANSWER_TOKENS, None
        cost = prices.cost(model.endpoint.provider, model.model, tokens, _ANSWER_TOKENS)
        return tokens + _ANSWER_TOKENS, cost

    return estimate

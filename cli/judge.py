"""`gavel judge try`: show one judgement. Only the model is called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.inputs import definitions_or_exit, row_or_exit
from cli.terminal import ConfigOption, JsonOption, console, fail, print_json, settings_or_exit
from processor.exit_codes import EXIT_FAILED, EXIT_USAGE

if TYPE_CHECKING:
    from config.definitions import EvaluationDraft
    from config.settings.sections import Judge as JudgeSettings
    from evaluators.generation import Generation
    from evaluators.llm_judge import Endpoint
    from evaluators.llm_judge.one_off import Attempt
    from evaluators.verdict import StepUsage, Verdict


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(name="judge", help="LLM judges: try one out.")
    group.callback()(_group)
    group.command("try")(try_command)
    app.add_typer(group, no_args_is_help=True)


def _group() -> None:
    """LLM judges: try one out."""


def try_command(
    evaluation: Annotated[Path, typer.Option(help="YAML or JSON file with the definition of an LLM judge.")],
    event: Annotated[Path, typer.Option(help="JSON file with the row of a generation event.")],
    model: Annotated[str | None, typer.Option(help="Model instead of the definition's.")] = None,
    provider: Annotated[str | None, typer.Option(help="Provider instead of the definition's.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Endpoint, such as http://localhost:11434/v1.")] = None,
    api_key_env: Annotated[str, typer.Option(help="Environment variable that holds the API key.")] = "OPENAI_API_KEY",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge one generation and show prompt, raw answer, verdict, tokens and cost.

    It needs neither Kafka nor a store. The exit code is 1 if there is no verdict.

        gavel judge try --evaluation polite.yaml --event event.json --base-url http://localhost:11434/v1 --model qwen3
    """
    import asyncio

    from evaluators.llm_judge import PROVIDERS, EndpointError, make_endpoint
    from processor.events.generation import to_generation

    settings = settings_or_exit(config)
    draft = _definition(evaluation)
    generation = to_generation(row_or_exit(event))
    configured = draft.model_configuration
    provider = provider or ("custom" if base_url else configured.provider if configured else "openai")
    if provider not in PROVIDERS:
        fail(f"--provider: {provider} is unknown; use one of {', '.join(PROVIDERS)}", code=EXIT_USAGE)
    model = model or (configured.model if configured else PROVIDERS[provider].default_model)
    if model is None:
        fail(f"{provider} has no default model; name one with --model", code=EXIT_USAGE)
    api_key = os.environ.get(api_key_env, "")
    if not api_key and base_url is None:
        fail(
            f"{api_key_env} is not set; put the API key there, or name another variable with --api-key-env",
            code=EXIT_USAGE,
        )
    others = {step.provider for step in configured.models} - {provider} if configured else set()
    if others and base_url is None:
        named = ", ".join(sorted(others))
        fail(f"--evaluation: its strategy asks {named} too; name one endpoint with --base-url", code=EXIT_USAGE)
    try:
        endpoint = make_endpoint(provider, api_key, base_url=base_url, azure_endpoint=base_url)
    except EndpointError as error:
        fail(f"{error} (--base-url)", code=EXIT_USAGE)
    attempt = asyncio.run(_try(draft, generation, endpoint, model, settings.judge))
    if as_json:
        print_json(_as_json(attempt))
    else:
        _print(attempt)
    if _verdict(attempt) is None:
        raise typer.Exit(EXIT_FAILED)


async def _try(
    draft: EvaluationDraft, generation: Generation, endpoint: Endpoint, model: str, settings: JudgeSettings
) -> Attempt:
    from config.outbound.callers import caller_of
    from config.prices import load_prices
    from processor.judge.try_out import try_judge

    caller = caller_of(settings, checked=False)
    try:
        return await try_judge(
            draft,
            generation,
            endpoint,
            model,
            caller=caller,
            prices=load_prices(settings.prices_path),
            settings=settings,
        )
    finally:
        await caller.close()


def _definition(path: Path) -> EvaluationDraft:
    drafts = [item.draft for item in definitions_or_exit([path]) if item.draft.prompt is not None]
    if len(drafts) != 1:
        fail(f"--evaluation: {path} holds {len(drafts)} LLM judges; name a file with one", code=EXIT_USAGE)
    return drafts[0]


def _verdict(attempt: Attempt) -> Verdict | None:
    from evaluators.llm_judge import Judged
    from evaluators.verdict import Verdict

    outcome = attempt.outcome
    if isinstance(outcome, Judged) and isinstance(outcome.outcome, Verdict):
        return outcome.outcome
    return None


def _as_json(attempt: Attempt) -> dict[str, Any]:
    from dataclasses import asdict

    from msgspec.structs import asdict as fields

    from evaluators.llm_judge import Judged, Parked

    outcome = attempt.outcome
    verdict = _verdict(attempt)
    found: dict[str, Any] = {"verdict": None if verdict is None else fields(verdict), "skip": None, "failure": None}
    if isinstance(outcome, Judged):
        if verdict is None:
            found["skip"] = asdict(outcome.outcome)
        found["usage"] = None if outcome.usage is None else asdict(outcome.usage)
    else:
        found["failure"] = outcome.detail
        found["kind"] = outcome.cause if isinstance(outcome, Parked) else "budget"
    found["calls"] = [
        {
            "request": dict(exchange.payload),
            "answer": None if exchange.completion is None else exchange.completion.text,
            "failure": exchange.failure,
        }
        for exchange in attempt.exchanges
    ]
    return found


def _print(attempt: Attempt) -> None:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    screen = console()
    for number, exchange in enumerate(attempt.exchanges, start=1):
        shown = exchange.payload["messages"] if number == 1 else exchange.payload["messages"][2:]
        for message in shown:
            screen.print(
                Panel(Text(message["content"]), title=f"call {number} · {message['role']}", title_align="left")
            )
        answer = exchange.failure or (exchange.completion.text if exchange.completion else "")
        style = "red" if exchange.failure else "cyan"
        screen.print(Panel(Text(answer), title=f"call {number} · answer", title_align="left", border_style=style))
    table = Table(show_header=False)
    for name, value in _rows(attempt):
        table.add_row(name, Text(value))
    screen.print(table)


def _rows(attempt: Attempt) -> list[tuple[str, str]]:
    from evaluators.llm_judge import Judged
    from evaluators.verdict import Skip

    outcome = attempt.outcome
    if not isinstance(outcome, Judged):
        return [("no verdict", outcome.detail)]
    rows: list[tuple[str, str]]
    if isinstance(outcome.outcome, Skip):
        rows = [("skipped", outcome.outcome.reason), ("detail", outcome.outcome.detail)]
    else:
        rows = [("verdict", _shown(outcome.outcome)), ("reasoning", outcome.outcome.reasoning)]
    usage = outcome.usage
    if usage is not None:
        cost = "no price for this model" if usage.cost_usd is None else f"${usage.cost_usd:.6f}"
        rows += [
            ("model", f"{usage.provider} · {usage.model}"),
            ("tokens", f"{usage.input_tokens} in, {usage.output_tokens} out"),
            ("cost", cost),
            ("latency", f"{usage.latency_s:.2f} s"),
        ]
        rows += [(f"step {step.step}", _step(step)) for step in usage.steps]
        if usage.suspected_injection:
            rows.append(("injection", "the text seems to speak to the judge"))
        if usage.truncated:
            rows.append(("truncated", "the text was too long; a part was left out"))
    return rows


def _step(step: StepUsage) -> str:
    verdict = step.skip_reason if step.verdict is None else step.verdict
    sure = "" if step.confidence is None else f", {step.confidence:.0%} sure"
    cost = "" if step.cost_usd is None else f", ${step.cost_usd:.6f}"
    return f"{step.provider} · {step.model}: {verdict}{sure}{cost}"


def _shown(verdict: Verdict) -> str:
    if not verdict.applicable:
        return "not applicable"
    if verdict.result is not None:
        return "true" if verdict.result else "false"
    return f"{verdict.score:g}" if verdict.score is not None else ", ".join(verdict.categories or ())

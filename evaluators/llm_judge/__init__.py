"""LLM judges: criteria and a generation in, a verdict out, whatever the provider does.

`Judge.run` is the whole interface. Time comes from the event loop, randomness and persistence from outside.

A name is loaded when it is first used, because the settings need only the names of the providers: without this, each
command of the terminal would load the judge.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluators.llm_judge.judge import Judge
    from evaluators.llm_judge.model_check import ModelCheck, check_model
    from evaluators.llm_judge.outcome import Judged, JudgeRequest, NotRun, Parked, RunOutcome
    from evaluators.llm_judge.output import OutputContract
    from evaluators.llm_judge.providers import PROVIDERS, Endpoint, EndpointError, make_endpoint
    from evaluators.llm_judge.surroundings import Chance, Patience, RunStores
    from evaluators.llm_judge.transcript import transcribe

_PLACES = {
    "judge": ("Judge",),
    "model_check": ("ModelCheck", "check_model"),
    "outcome": ("Judged", "JudgeRequest", "NotRun", "Parked", "RunOutcome"),
    "output": ("OutputContract",),
    "providers": ("PROVIDERS", "Endpoint", "EndpointError", "make_endpoint"),
    "surroundings": ("Chance", "Patience", "RunStores"),
    "transcript": ("transcribe",),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "PROVIDERS",
    "Chance",
    "Endpoint",
    "EndpointError",
    "Judge",
    "JudgeRequest",
    "Judged",
    "ModelCheck",
    "NotRun",
    "OutputContract",
    "Parked",
    "Patience",
    "RunOutcome",
    "RunStores",
    "check_model",
    "make_endpoint",
    "transcribe",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)

"""LLM judges: criteria and a generation in, a verdict out, whatever the provider does.

`Judge.run` is the whole interface. Time comes from the event loop, randomness and persistence from outside.
"""

from __future__ import annotations

from evaluators.llm_judge.check import ModelCheck, check_model
from evaluators.llm_judge.judge import Judge, Patience
from evaluators.llm_judge.outcome import Judged, JudgeRequest, NotRun, Parked, RunOutcome
from evaluators.llm_judge.output import OutputContract
from evaluators.llm_judge.prompt import transcribe
from evaluators.llm_judge.providers import PROVIDERS, Endpoint, EndpointError, make_endpoint

__all__ = [
    "PROVIDERS",
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
    "check_model",
    "make_endpoint",
    "transcribe",
]

"""Hog code that took too long for the matcher: run here, on threads of its own."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor

from evaluators.generation import Generation
from evaluators.hog import HogEvaluator
from evaluators.verdict import Skip, Verdict
from processor.hog_failures import HogFailures
from storage.snapshot import CompiledEvaluation


class HogRuns:
    """Runs Hog evaluators under a time limit.

    Args:
        executor: a few threads. Python's GIL lets one of them run at a time, and LLM calls wait in between no longer
            than the interpreter's switch interval.
        failures: switches off evaluators that keep failing.
        limit_s: seconds that one run may take.
    """

    def __init__(self, executor: Executor, failures: HogFailures, limit_s: float) -> None:
        self._executor = executor
        self._failures = failures
        self._limit_s = limit_s

    async def run(self, found: CompiledEvaluation, hog: HogEvaluator, generation: Generation) -> Verdict | Skip:
        """Return the verdict of one run; a skip `hog_error` if it takes longer than the limit."""
        outcome = await self.try_out(hog, generation)
        self._failures.note(found.definition, outcome)
        return outcome

    async def try_out(self, hog: HogEvaluator, generation: Generation) -> Verdict | Skip:
        """Return what `run` returns, and leave the evaluation as it is even if its code keeps failing."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, hog.judge, generation, self._limit_s)

"""The neutral probe: a fixed harmless text in the form of a judge's call, to learn whose fault a refusal is.

If the provider answers it, then key, quota, model and provider work, so that the refusal belongs to the text or the
request that was refused. It goes through the same prompt and the same form as runs do, and begins with the mark of a
judge's call, so that it is never judged itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from evaluators.llm_judge.cache import InFlight
from evaluators.llm_judge.caller import Caller
from evaluators.llm_judge.conversation import JudgeExchange
from evaluators.llm_judge.failures import Fault, ProviderFailure
from evaluators.llm_judge.ladder import Form, Ladder
from evaluators.llm_judge.outcome import JudgeRequest
from evaluators.llm_judge.output import OutputContract
from evaluators.llm_judge.providers import Endpoint
from evaluators.llm_judge.transcript import transcribe

CRITERIA = "The output answers the input."
_DEADLINE_S = 30.0


def neutral_request(endpoint: Endpoint, model: str, *, team_id: int = 0, evaluation_id: str = "probe") -> JudgeRequest:
    """Return the request that judges a harmless question and its answer."""
    return JudgeRequest(
        team_id=team_id,
        evaluation_id=evaluation_id,
        fingerprint="",
        criteria=CRITERIA,
        contract=OutputContract(),
        endpoint=endpoint,
        model=model,
        transcript=transcribe("What is two plus two?", "Four.", None),
        cache=False,
    )


class NeutralProbe:
    """Asks the neutral text. Belongs to one event loop.

    Args:
        nonce: unpredictable text, new with every call.
    """

    def __init__(self, caller: Caller, ladder: Ladder, nonce: Callable[[], str]) -> None:
        self._caller = caller
        self._ladder = ladder
        self._nonce = nonce
        self._in_flight: InFlight[ProviderFailure | None] = InFlight()

    async def ask(self, endpoint: Endpoint, model: str, form: Form | None) -> ProviderFailure | None:
        """Return why the neutral text gets no answer, or None if it gets one. Callers at the same time share a call.

        Args:
            form: the form to begin with; the remembered one if None. Refusals of the form are adapted to.
        """
        key = f"{endpoint.identity()} {model} {form}"
        failure, _ = await self._in_flight.share(key, lambda: self._ask(endpoint, model, form))
        return failure

    async def _ask(self, endpoint: Endpoint, model: str, form: Form | None) -> ProviderFailure | None:
        talk = JudgeExchange(neutral_request(endpoint, model), self._ladder, form=form)
        try:
            async with asyncio.timeout(_DEADLINE_S):
                while True:
                    failure = await self._call(talk)
                    if failure is None or not (talk.adapt(failure) or talk.leave_rung(failure, attempts=1)):
                        break
        except TimeoutError:
            return ProviderFailure("unavailable", f"no answer to the neutral probe within {_DEADLINE_S:g} s")
        if failure is None or _shows_that_all_works(failure):
            return None
        if failure.fault is Fault.FORM:  # no form is left
            return ProviderFailure("bad_request", failure.detail, status=failure.status)
        return failure

    async def _call(self, talk: JudgeExchange) -> ProviderFailure | None:
        payload = talk.payload(talk.prompt(self._nonce()))
        try:
            await self._caller.complete(talk.request.endpoint, payload, marker=talk.request.evaluation_id)
        except ProviderFailure as failure:
            return failure.with_traceback(None)  # which would lead back to it, by this very name
        return None


def _shows_that_all_works(failure: ProviderFailure) -> bool:
    """Whether only the text was refused, so that key, model and provider work."""
    return failure.fault in (Fault.TEXT, Fault.CONTEXT)

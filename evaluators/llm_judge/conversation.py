"""The exchange of one run with a model: builds each request, and decides what follows an answer or a refusal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec

from evaluators.llm_judge.answer import parse_answer
from evaluators.llm_judge.caller import Completion
from evaluators.llm_judge.confidence import confidence_of
from evaluators.llm_judge.estimate import tokens_of
from evaluators.llm_judge.failures import Fault, ProviderFailure
from evaluators.llm_judge.ladder import Form, Ladder, payload
from evaluators.llm_judge.outcome import JudgeRequest
from evaluators.llm_judge.output import AnswerError
from evaluators.llm_judge.prompt import Prompt, build_prompt
from evaluators.llm_judge.refusals.size import names_answer_limit
from evaluators.verdict import Skip, Verdict

_QUOTED_CHARS = 4_000
_FAULTS_PER_NEW_RUNG = 2
"""Server errors in a row on a rung that never answered before the next rung is tried."""


@dataclass(slots=True)
class RunUse:
    """The use of one run so far.

    Attributes:
        answers: calls that a model answered.
        pending: a call is in flight, so that its use is not known.
        truncated_to: the limit of characters to which the newest call's text was cut; None if it was whole.
        estimated: the provider reported no usage for one of the calls.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    latency_s: float = 0.0
    answers: int = 0
    pending: bool = False
    truncated_to: int | None = None
    estimated: bool = False

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def add(self, completion: Completion) -> None:
        """Add a call that a model answered."""
        self.answers += 1
        self.input_tokens += completion.input_tokens
        self.output_tokens += completion.output_tokens
        self.estimated = self.estimated or completion.tokens_estimated


class JudgeExchange:
    """State of one run's exchange.

    Args:
        form: the form of the first call; the remembered one if None.
    """

    def __init__(self, request: JudgeRequest, ladder: Ladder, *, form: Form | None = None) -> None:
        self.request = request
        self.ladder = ladder
        self.form = form or self._known.form
        self.max_chars = request.max_chars
        self._tightened = False
        self._rescued = False
        self._faults = 0
        self._last_error = ""
        self._last_answer = ""
        self._logprobs = request.logprobs and self._known.logprobs is not False

    @property
    def _known(self) -> Any:
        return self.ladder.of(self.request.endpoint.address, self.request.model)

    @property
    def proven(self) -> bool:
        """Whether the present form is one in which this endpoint's model has answered well before."""
        asks_more = self._logprobs and self._known.logprobs is None
        return bool(self._known.proven) and self.form == self._known.form and not asks_more

    def prompt(self, nonce: str) -> Prompt:
        """Return the prompt of the next call. `nonce` is new per call."""
        request = self.request
        return build_prompt(
            request.criteria, request.contract, request.transcript, nonce=nonce, max_chars=self.max_chars
        )

    def payload(self, prompt: Prompt) -> dict[str, Any]:
        """Return the parameters of the next call; after an answer that did not parse, the request to repair it."""
        request = self.request
        found = payload(
            request.model,
            prompt,
            request.contract,
            self.form,
            max_output_tokens=request.max_output_tokens,
            temperature=request.temperature,
            logprobs=self._logprobs,
        )
        if self._last_error:
            found["messages"] += [
                {"role": "assistant", "content": self._last_answer[:_QUOTED_CHARS] or "(empty)"},
                {
                    "role": "user",
                    "content": f"That answer cannot be read: {self._last_error}. "
                    "Answer again with the JSON object of the contract and nothing else.",
                },
            ]
        return found

    def read(self, completion: Completion) -> Verdict | Skip | None:
        """Return what the answer says, or None if it is to be repaired by one more call."""
        request = self.request
        address, model = request.endpoint.address, request.model
        if not self._tightened:  # other texts do not need the form that one long text needed
            self.ladder.took(address, model, self.form)
        if request.logprobs:
            self.ladder.note_logprobs(address, model, taken=self._logprobs)
        if completion.refused:
            return Skip("content_filtered", f"the judge's model or its provider's filter declined{completion.note}")
        try:
            outcome = parse_answer(
                completion.text, request.contract, judged=request.transcript, cut_off=completion.cut_off
            )
        except AnswerError as error:
            self.ladder.ignored(address, model, self.form.rung)
            problem = f"{error}{completion.note}"
            if self._last_error:
                return Skip(
                    "unparsable_response", f"the judge's answer cannot be read, even after one repair: {problem}"
                )
            self._last_error, self._last_answer = problem, completion.text
            return None
        if not self._last_error:
            self.ladder.answered(address, model, self.form.rung, rescued=self._rescued)
        if isinstance(outcome, Verdict) and completion.logprobs:
            sure = confidence_of(outcome, request.contract, completion.logprobs)
            return msgspec.structs.replace(outcome, confidence=sure)
        return outcome

    def drop_logprobs(self, failure: ProviderFailure) -> bool:
        """Ask without log probabilities if the refusal may be meant for them. Returns whether that is a new request."""
        named = "logprob" in failure.detail.lower()
        if not self._logprobs or not (named or (failure.fault is Fault.FORM and self._known.logprobs is None)):
            return False
        self._logprobs = False
        return True

    def adapt(self, failure: ProviderFailure) -> bool:
        """Change the request so that this refusal does not come again. Returns whether another call is worth it."""
        if failure.fault is Fault.FORM:
            return self._take(self.form.without(failure.kind))
        if failure.kind == "context_too_long":
            return self._shorten(failure)
        return False

    def leave_rung(self, failure: ProviderFailure, *, attempts: int) -> bool:
        """Note a server error; go to the next rung if the present one keeps giving them. Returns whether it did.

        Args:
            attempts: calls that may fail on a rung that is known to work.
        """
        if (failure.status or 0) < 500:
            return False
        self._faults += 1
        if self._faults < (max(1, attempts - 1) if self.proven else _FAULTS_PER_NEW_RUNG):
            return False
        if not self._take(self.form.lower()):
            return False
        self._rescued = True
        return True

    def _take(self, form: Form | None) -> bool:
        if form is None:
            return False
        self.form = form
        self._faults = 0
        return True

    def _shorten(self, failure: ProviderFailure) -> bool:
        """Ask for less: for a shorter answer if its limit was most of the request, else with half of the text."""
        transcript = self.request.transcript
        parts = (*transcript.messages, transcript.output, *transcript.tools)
        if self.form.answer_limit != "none" and names_answer_limit(failure.detail):
            if sum(map(tokens_of, parts)) < self.request.max_output_tokens:
                return self._take(replace(self.form, answer_limit="none"))
            self.form = replace(self.form, answer_limit="none")
        if self._tightened:
            return False
        self._tightened = True
        self.max_chars = max(1, min(self.max_chars, sum(map(len, parts))) // 2)
        return True

    def final(self, failure: ProviderFailure) -> Skip | None:
        """Return the skip that a refusal means, or None if it concerns key, model or provider."""
        if failure.kind == "context_too_long":
            detail = f"the model's context does not hold the text, even cut to {self.max_chars} characters"
            return Skip("context_window_exceeded", detail)
        if failure.kind == "content_filtered":
            return Skip("content_filtered", failure.detail)
        return None

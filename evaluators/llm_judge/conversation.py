"""One run's exchange with a model: what is sent next, and what an answer or a refusal leads to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from evaluators.llm_judge.client import Completion
from evaluators.llm_judge.failures import ProviderFailure
from evaluators.llm_judge.ladder import RUNGS, Ladder, payload
from evaluators.llm_judge.outcome import JudgeRequest
from evaluators.llm_judge.output import AnswerError, parse_answer
from evaluators.llm_judge.prompt import Prompt, build_prompt
from evaluators.verdict import Skip, Verdict

_QUOTED_CHARS = 4_000


@dataclass(slots=True)
class Meter:
    """What a run has used so far.

    Attributes:
        answers: calls that a model answered.
        pending: a call is in flight, so that what it uses is not known.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    latency_s: float = 0.0
    answers: int = 0
    pending: bool = False
    truncated: bool = False

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


@dataclass(slots=True)
class Conversation:
    """State of one run's exchange. `nonce` is new per call and comes from outside."""

    request: JudgeRequest
    ladder: Ladder
    rung: int = 0
    max_chars: int = 0
    tightened: bool = False
    last_error: str = ""
    last_answer: str = ""
    _refused_temperature: bool = field(default=False)

    def __post_init__(self) -> None:
        known = self.ladder.of(self.request.endpoint.address, self.request.model)
        self.rung = known.rung
        self.max_chars = self.request.max_chars

    def prompt(self, nonce: str) -> Prompt:
        """Return the prompt of the next call."""
        request = self.request
        return build_prompt(
            request.criteria, request.contract, request.transcript, nonce=nonce, max_chars=self.max_chars
        )

    def payload(self, prompt: Prompt) -> dict[str, Any]:
        """Return the parameters of the next call; after an answer that did not parse, the request to repair it."""
        request = self.request
        known = self.ladder.of(request.endpoint.address, request.model)
        temperature = known.temperature and not self._refused_temperature
        found = payload(request.model, prompt, request.contract, RUNGS[self.rung], temperature=temperature)
        if self.last_error:
            found["messages"] += [
                {"role": "assistant", "content": self.last_answer[:_QUOTED_CHARS] or "(empty)"},
                {
                    "role": "user",
                    "content": f"That answer cannot be read: {self.last_error}. "
                    "Answer again with the JSON object of the contract and nothing else.",
                },
            ]
        return found

    def read(self, completion: Completion) -> Verdict | Skip | None:
        """Return what the answer says, or None if it is to be repaired by one more call."""
        request = self.request
        address, model = request.endpoint.address, request.model
        if completion.refused:
            return Skip("content_filtered", "the judge's model or its provider's filter declined to answer")
        try:
            outcome = parse_answer(completion.text, request.contract)
        except AnswerError as error:
            self.ladder.ignored(address, model, self.rung)
            if self.last_error:
                cut = " (it was cut off at the token limit)" if completion.cut_off else ""
                return Skip(
                    "unparsable_response", f"after one repair the judge's answer still was no verdict: {error}{cut}"
                )
            self.last_error, self.last_answer = str(error), completion.text
            return None
        if not self.last_error:
            self.ladder.answered(address, model, self.rung)
        return outcome

    def can_descend(self) -> bool:
        """Whether there is a rung below."""
        return self.rung + 1 < len(RUNGS)

    def adapt(self, failure: ProviderFailure) -> bool:
        """Change what is sent so that this refusal does not come again. Returns whether another call is worth it."""
        address, model = self.request.endpoint.address, self.request.model
        if failure.kind == "unsupported_temperature" and not self._refused_temperature:
            self._refused_temperature = True
            self.ladder.refuses_temperature(address, model)
            return True
        if failure.kind in ("unsupported_format", "bad_request", "unsupported_temperature") and self.can_descend():
            self.rung += 1
            return True
        if failure.kind == "context_too_long" and not self.tightened:
            self.tightened = True
            transcript = self.request.transcript
            size = sum(map(len, (*transcript.messages, transcript.output, *transcript.tools)))
            self.max_chars = max(1, min(self.max_chars, size) // 2)
            return True
        return False

    def final(self, failure: ProviderFailure) -> Skip | None:
        """Return the skip that a refusal means, or None if it concerns key, model or provider."""
        if failure.kind == "context_too_long":
            detail = f"the model's context does not hold the text, even cut to {self.max_chars} characters"
            return Skip("context_window_exceeded", detail)
        if failure.kind == "content_filtered":
            return Skip("content_filtered", failure.detail)
        return None

"""Refusals that pass by themselves: the pace of requests, and the outages of a provider."""

from __future__ import annotations

from evaluators.llm_judge.refusals.rule import ANY, REFUSED, RefusalRule, names_of, statuses

_ELSEWHERE = ANY - {401, 413, 429, 504}

PACE: tuple[RefusalRule, ...] = (
    RefusalRule(
        "rate_limited",
        (
            ("bedrock", "Too many tokens, please wait before trying again."),
            ("bedrock", "Too many tokens per day, please wait before trying again."),
            ("cerebras", "Tokens per minute limit exceeded - too many tokens processed."),
            ("anthropic", "This request would exceed your rate limit of 50,000 input tokens per minute."),
            ("groq", "Rate limit reached for model `llama` on tokens per minute (TPM): Limit 6000, Used 5900."),
            ("together_ai", "You have reached the rate limit specific to this model"),
            ("nim", "Too Many Requests: the prompt is over your quota per hour"),
        ),
        statuses(429),
        words=r"rate.?limit|\brate\b|too many requests|throttl|\bwait\b|slow down"
        r"|(?:try again|retry) (?:in|after|later)|(?:per|each|/) ?(?:min|minute|second|sec|hour|day|month)\b"
        r"|\b[tr]p[dms]\b|daily|hourly|concurren|capacity|high (?:traffic|demand|load)|busy|overload",
    ),
    RefusalRule(
        "context_too_long",
        (
            ("gateway", "prompt is too long: 210000 tokens > 200000 maximum"),
            ("gateway", "This model's maximum context length is 8192 tokens."),
        ),
        statuses(429),
        codes=names_of("context_length_exceeded context_window_exceeded string_above_max_length request_too_large"),
        words=r"maximum context|context (?:length|window)|(?:prompt|input|text)s? (?:is|are) too long",
    ),
    RefusalRule("rate_limited", (("any", "Too Many Requests"), ("cerebras", "Too many tokens")), statuses(429)),
    RefusalRule(
        "rate_limited",
        (
            ("openrouter", "Rate limit exceeded: free-models-per-day"),
            ("bedrock", "Rate exceeded"),
            ("dashscope", "Requests rate limit exceeded, please try again later."),
            ("bedrock", "ThrottlingException: Too many tokens, please wait before trying again."),
            ("litellm", "litellm.RateLimitError: BedrockException - Too many tokens, please wait before trying again."),
            ("cerebras", "Tokens per minute limit exceeded - too many tokens processed."),
        ),
        _ELSEWHERE,
        codes=names_of(
            "rate_limit_exceeded rate_limit_error rate_limited resource_exhausted throttling throttlingexception "
            "too_many_requests too_many_requests_error too_many_tokens_error token_quota_exceeded "
            "request_quota_exceeded queue_exceeded requests_limit_exceeded request_limit_exceeded"
        ),
        words=r"rate.?limit|rate exceeded|too many requests|throttl|too many \w+,? (?:per \w+,? )?please wait"
        r"|(?:tokens?|requests?) (?:per|each|/) ?(?:min|minute|second|sec|hour|day)\b|\b[tr]p[dm]\b",
    ),
)
"""A limit of the pace counts tokens as a context does, and borrows its words: `Too many tokens, please wait`.

At 429 words of a rate or of waiting decide, whatever else they say. Only a request that is larger than the whole limit
(`refusals.size.TOO_LARGE`) is not one of them, because waiting does not mend it.
"""

PASSING: tuple[RefusalRule, ...] = (
    RefusalRule(
        "unavailable",
        (
            ("anthropic", "Overloaded"),
            ("openai", "The engine is currently overloaded, please try again later."),
            ("huggingface", "Model foo is currently loading"),
            ("bedrock", "Model is getting ready for inference. Try your request again."),
            ("bedrock", "ModelErrorException: the model failed while it processed the request"),
            ("openrouter", "Provider returned error: service unavailable"),
        ),
        REFUSED - {401, 404},
        codes=names_of(
            "overloaded_error overloaded server_error internal_error unavailable service_unavailable "
            "modelnotreadyexception modelerrorexception modeltimeoutexception internalserverexception"
        ),
        words=r"overload|model ?(?:not ?ready|error) ?exception|getting ready"
        r"|try again|temporarily|currently loading|service unavailable|server is busy|high demand"
        r"|timed? ?out"
        r"|internal (?:server )?error|upstream",
    ),
)

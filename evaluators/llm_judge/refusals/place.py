"""Refusals of the place that a request went to: the model and the address."""

from __future__ import annotations

from evaluators.llm_judge.refusals.rule import UNKNOWN_STATUS, RefusalRule, names_of, statuses

_MODEL_STATUSES = frozenset({UNKNOWN_STATUS, 400, 403, 404, 410, 422, 500})

PLACE: tuple[RefusalRule, ...] = (
    RefusalRule(
        "wrong_address",
        (("iis", "The resource has been removed, had its name changed, or is temporarily unavailable."),),
        statuses(404),
        words=r"had its name changed",
    ),
    RefusalRule(
        "model_not_found",
        (
            ("gateway", "The model `m` does not exist. If it was just deployed, please try again later."),
            ("gateway", "The model m was retired. Other models may be temporarily slower."),
        ),
        _MODEL_STATUSES,
        words=r"(?:model|deployment)[^.]{0,80}(?:not found|not exist|no longer|deprecated|retired|sunset"
        r"|decommissioned)|models/\S+ is not found|no such model|模型不存在",
    ),
    RefusalRule(
        "unavailable",
        (
            ("gateway", "The model `m` is temporarily unavailable."),
            ("gateway", "The model m is currently overloaded with other requests."),
            ("gateway", "Model m is unavailable right now, please try again later."),
            ("gateway", "Model m is not available: it is still loading."),
            ("gateway", "The deployment is not available at the moment. Retry in 30 seconds."),
            ("gateway", "Model not available: all instances are busy."),
            ("openrouter", "No endpoints found for foo/bar: all providers are at capacity."),
        ),
        _MODEL_STATUSES - {410},
        codes=names_of("overloaded_error overloaded service_unavailable modelnotreadyexception"),
        words=r"temporar(?:y|ily)|overload|(?:is|are|still|currently|being) (?:loading|loaded|starting|warming)\b"
        r"|getting ready|service unavailable"
        r"|(?:try|retry)(?:ing)?(?: it| this| your request)?(?: again)?"
        r" (?:later|shortly|soon|in \d|in a)\b"
        r"|right now|at the moment|\bbusy\b|(?:at|over|out of|no) capacity|high (?:demand|load|traffic)",
    ),
    RefusalRule(
        "model_not_found",
        (
            ("openai", "The model `gpt-9` does not exist or you do not have access to it."),
            ("azure_openai", "The API deployment for this resource does not exist."),
            ("anthropic", "model: claude-1"),
            ("gemini", "models/gemini-0 is not found for API version v1main"),
            ("openrouter", "foo/bar is not a valid model ID"),
            ("openrouter", "No endpoints found for foo/bar."),
            ("deepseek", "Model Not Exist"),
            ("groq", "The model `mixtral` has been decommissioned and is no longer supported."),
            ("ollama", 'model "qwen9" not found, try pulling it first'),
            ("litellm", "Invalid model name passed in model=m. Call `/v1/models` to view available models."),
            ("fireworks", "Model not found, inaccessible, and/or not deployed"),
            ("together_ai", "Unable to access model foo. Please visit the list of supported models."),
            ("bedrock", "The provided model identifier is invalid."),
            (
                "bedrock",
                "Invocation of model ID m with on-demand throughput isn't supported. Retry with an inference profile.",
            ),
            ("bedrock", "This model version has reached the end of its life."),
            ("bedrock", "You don't have access to the model with the specified model ID."),
            ("vertex", "Publisher Model `models/gemini-1.5` was not found or your project does not have access to it."),
            (
                "litellm",
                "LLM Provider NOT provided. Pass in the LLM provider you are trying to call. You passed model=m",
            ),
            ("cloudflare", "No such model @cf/foo or task"),
            ("github", "Unknown model: foo"),
            ("dashscope", "Model not exist."),
            ("nim", "Function 'f': Not found for account 'a'"),
            ("zhipu", "模型不存在，请检查模型代码。"),
        ),
        _MODEL_STATUSES,
        codes=names_of(
            "model_not_found deploymentnotfound model_not_exist model_not_available model_decommissioned "
            "model_deprecated unknown_model unavailable_model model_not_allowed resource_not_found_exception "
            "resourcenotfoundexception endpoint_not_found resource_does_not_exist not_found_error notfounderror "
            "model_not_supported invalid_model modelnotfound model.accessdenied key_model_access_denied "
            "team_model_access_denied"
        ),
        words=r"(?:model|deployment)[^.]{0,80}(?:not deployed|not available|unavailable)|model is not supported"
        r"|(?:valid|unknown|invalid|unsupported|access|access to) (?:the )?model"
        r"|no endpoints found for|model_id\b.{0,30}(?:not valid|invalid)"
        r"|model identifier|on-demand throughput|inference profile|end of (?:its )?life"
        r"|llm provider not provided|not found (?:or your project|for account)|^model: \S+$",
    ),
    RefusalRule("model_not_found", (("any", "Gone"),), statuses(410)),
    RefusalRule(
        "wrong_address",
        (
            ("openai", "Unknown request URL: POST /chat/completion. Please check the URL for typos."),
            ("databricks", "The requested path does not exist"),
            ("any", "Method Not Allowed"),
        ),
        statuses(400, 404, 405),
        codes=names_of("unknown_url path_not_found"),
        words=r"unknown (?:request )?url|requested path does not exist|method not allowed"
        r"|invalid url|no (?:such )?route|cannot post",
    ),
    RefusalRule("wrong_address", (("any", ""),), statuses(405)),
)
"""A model that is missing stays so, and one that is busy comes back: both are said at the same statuses.

Words that a model is gone for good decide first, then words that it is not there for now, and then the vague ones, such
as a code that only repeats the status.
"""

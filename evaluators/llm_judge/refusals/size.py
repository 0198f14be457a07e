"""Refusals of a size: of the text for the context, and of the answer for its limit.

A limit of the answer is refused under many names, by its parameter or in words. Words that set it against the context,
or add it to the input, are about the context, because the answer's limit is only a part of the sum.
"""

from __future__ import annotations

import re2

from evaluators.llm_judge.refusals.rule import NOT_AUTH, RefusalRule, names_of, statuses

_PARAMETER = (
    r"(?:max_(?:completion_|output_|new_|generated_)?tokens(?:_to_sample)?|max(?:Output|Completion|New)?Tokens\b"
    r"|maxTokenCount|max_gen_len(?:gth)?|max_length\b|num_predict)"
)
"""The parameter that limits the answer, by the names of every API."""
_LIMIT = r"max(?:imum|\.)? (?:number of )?(?:(?:output|completion|new|generated|response) )?tokens?"
"""The same in words. `maximum number of tokens` may be the input's, so that it counts only beside a refusal."""
_ANSWER_TOKENS = r"(?:output|completion|generated|new) tokens?"

_names_answer_limit = re2.compile(f"(?is){_PARAMETER}|{_LIMIT}|{_ANSWER_TOKENS}|in the completion")
_requested = re2.compile(r"(?is)\blimit:? ?([\d,]{1,15})\b[^\n]{0,60}\brequested:? ?~?([\d,]{1,15})")


def names_answer_limit(words: str) -> bool:
    """Return whether words name the limit of the answer. Linear time."""
    return _names_answer_limit.search(words) is not None


def asks_more_than_ever(words: str) -> bool:
    """Return whether one request asks for more than a limit per minute or day holds, so that waiting mends nothing."""
    found = _requested.search(words)
    return found is not None and int(found[2].replace(",", "") or 0) > int(found[1].replace(",", "") or 0)


TOO_LARGE: tuple[RefusalRule, ...] = (
    RefusalRule(
        "context_too_long",
        (
            ("openai", "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 31538."),
            ("groq", "Request too large for model `llama` on tokens per minute (TPM): Limit 6000, Requested 7000"),
            ("anthropic", "Extra usage is required for long context requests."),
        ),
        NOT_AUTH,
        words=r"request (?:is )?too large|long context requests|tokens must be reduced in order",
    ),
)
"""A request that no rest of a minute could hold. It stands before the pace, whose words and codes it shares."""

ANSWER: tuple[RefusalRule, ...] = (
    RefusalRule(
        "context_too_long",
        (
            (
                "vllm",
                "'max_tokens' is too large. The maximum context length is 4 tokens and your request has 3 input tokens",
            ),
            ("anthropic", "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000"),
            ("tgi", "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 3000"),
            ("vllm", "your request has 1900 input tokens plus 2045 'max_tokens'. Please reduce one or the other."),
            ("nim", "max_tokens (16000) exceeds what the model's context leaves: 8192 - 3000"),
            ("gateway", "The sum of prompt tokens and completion tokens exceeds 8192."),
        ),
        NOT_AUTH,
        words=rf"context.{{0,200}}{_PARAMETER}|{_PARAMETER}.{{0,200}}context"
        rf"|(?:tokens|length|inputs?|prompts?|messages)['\x60)]* (?:\d+ )?(?:and|\+|plus) "
        rf"['\x60(\d ]*(?:{_PARAMETER}|{_LIMIT})"
        rf"|(?:input|prompt)[^.]{{0,20}}(?:and|\+|plus) (?:the )?{_ANSWER_TOKENS}",
    ),
    RefusalRule(
        "unsupported_token_limit",
        (
            (
                "openai",
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'.",
            ),
            ("openai", "max_tokens is too large: 16384. This model supports at most 4096 completion tokens."),
            ("openai", "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16"),
            ("anthropic", "max_tokens: 16000 > 8192, which is the maximum allowed number of output tokens for claude"),
            ("groq", "`max_tokens` must be less than or equal to `8192`, the maximum value for this model"),
            ("tgi", "Input validation error: `max_new_tokens` must be <= 192. Given: 16000"),
            ("deepseek", "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"),
            ("dashscope", "Range of max_tokens should be [1, 8192]"),
            ("vllm", "max_tokens must be at least 1, got -186."),
            (
                "bedrock",
                "The maximum tokens you requested exceeds the model limit of 4096. Try again with a lower value.",
            ),
            ("bedrock", "max_tokens (16000) exceeds model limit"),
            ("bedrock", "Malformed input request: #/maxTokens: 16000 is not less or equal to 5000"),
            ("bedrock", "Malformed input request: #/textGenerationConfig/maxTokenCount: 16000 is greater than 4096"),
            ("bedrock", "Malformed input request: #/max_gen_len: 16000 is not less or equal to 2048"),
            (
                "gemini",
                "Unable to submit request because it has a maxOutputTokens value of 16000 but the range is to 8193",
            ),
            ("gemini", "max_output_tokens must be in range [1, 8192]"),
            ("cohere", "too many tokens: max tokens must be less than or equal to 4096"),
            ("mistral", "The maximum number of tokens requested, 16000, is above 8192"),
            ("fireworks", "Requests with max_tokens > 4096 must have stream=true"),
            ("watsonx", "Invalid input argument for Model: the number of generated tokens must be <= 4096"),
            ("gateway", "The model supports at most 4096 output tokens"),
            ("gateway", "Requested output tokens 16000 exceed 4096"),
        ),
        NOT_AUTH,
        params=names_of(
            "max_tokens max_completion_tokens max_output_tokens max_new_tokens maxTokens maxOutputTokens "
            "max_gen_len maxTokenCount max_tokens_to_sample num_predict"
        ),
        words=rf"{_PARAMETER}|maximum allowed number of output tokens"
        rf"|{_LIMIT},? (?:you |that you )?(?:requested|specified|value|must|should|cannot|can't|may not|is too)"
        rf"|{_LIMIT} (?:exceeds? the model|of \d+ (?:is|exceeds))|max(?:imum)? {_ANSWER_TOKENS} (?:is|are|of|\(|exceed)"
        rf"|{_ANSWER_TOKENS},? ?(?:\(?\d+\)? )?(?:exceed|is too|are too|must be|should be|cannot|can't|above|greater"
        rf"|is larger|are larger|is above|is greater)"
        rf"|(?:at most|up to|limit(?:ed)? (?:of|to)|maximum of|exceeds?|only) [\d,]+ {_ANSWER_TOKENS}",
    ),
)

CONTEXT: tuple[RefusalRule, ...] = (
    RefusalRule(
        "context_too_long",
        (
            ("openai", "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000."),
            (
                "openai",
                "Invalid 'messages[1].content': string too long. Expected a string with maximum length 10485760",
            ),
            ("anthropic", "prompt is too long: 210000 tokens > 200000 maximum"),
            ("gemini", "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
            ("xai", "This model's maximum prompt length is 131072 but the request contains 537812 tokens."),
            ("mistral", "Prompt contains 40000 tokens, too large for model with 32768 maximum context length"),
            ("dashscope", "Range of input length should be [1, 30720]"),
            ("vllm", "You passed 5000 input tokens. Please reduce the length of the input messages."),
            ("tgi", "Input validation error: `inputs` must have less than 1024 tokens. Given: 1168"),
            ("llama.cpp", "the request exceeds the available context size. try increasing the context size"),
            ("ollama", "input length exceeds the context length"),
            ("lm_studio", "The number of tokens to keep from the initial prompt is greater than the context length"),
            ("bedrock", "Input is too long for requested model."),
            ("moonshot", "Invalid request: Your request exceeded model token limit: 8192"),
            ("groq", "Request too large for model, please reduce your message size and try again."),
            ("cohere", "too many tokens: total number of tokens in the prompt cannot exceed 4081"),
            ("litellm", "litellm.ContextWindowExceededError: the prompt has 150000 tokens"),
            ("lm_studio", "the model was loaded with a context of only 4096"),
            ("vllm", "The decoder prompt (length 9000) is longer than the maximum model length of 8192."),
            ("vllm", "The number of text tokens is above `max_model_len`."),
            ("pydantic", "String should have at most 32768 characters"),
            (
                "cloudflare",
                "The estimated number of input and maximum output tokens (9000) exceeded this model context",
            ),
        ),
        NOT_AUTH,
        codes=names_of(
            "context_length_exceeded context_window_exceeded contextwindowexceedederror exceed_context_size_error "
            "model_max_prompt_tokens_exceeded string_above_max_length request_too_large tokens_limit_reached "
            "max_context_length_exceeded model_context_window_exceeded"
        ),
        words=r"context.?(?:length|window|size|limit)|context of only|model length|max_model_len|model context"
        r"|longer than (?:the )?(?:model|maximum|max|allowed)|(?:prompt|input) (?:has|contains?) \d{3,}"
        r"|(?:should have|must be) at most \d+ characters"
        r"|maximum (?:context|prompt|input|sequence) length|(?:prompt"
        r"|input|request|message|conversation|text)s? "
        r"(?:tokens? )?(?:is|are|was|were)? ?too (?:long|large|big)|string too long|too many (?:input "
        r"|prompt )?tokens"
        r"|token count.{0,40}exceeds|reduce (?:the|your) (?:length|number of tokens|size|prompt|message|input)"
        r"|exceeds the (?:maximum|max|limit)[^.]{0,40}tokens|tokens[^.]{0,40}must be <=|(?:must"
        r"|should) have less than \d+ tokens"
        r"|range of input length|(?:model |input )token limit|tokens[^.]{0,60}too large for|payload too large"
        r"|request entity too large"
        r"|(?:prompt|input|request) (?:length )?exceeds|tokens[^.]{0,30}cannot exceed|超长|input_tokens",
    ),
    RefusalRule(
        "context_too_long",
        (
            ("openai", "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000."),
            ("minimax", "invalid params, the prompt exceeds what is allowed"),
            ("gateway", "Please shorten your prompt: 9000 tokens used of 8192"),
            ("gateway", "The prompt (9000 tokens) does not fit into the context of the model (8192)"),
            ("llama.cpp", "context shift is disabled"),
            ("zhipu", "输入长度超过限制"),
            ("lm_studio", "Trying to keep the first 5000 tokens, but the context overflows: n_ctx is 4096"),
        ),
        NOT_AUTH,
        words=r"\b(?:tokens?|input|prompt|length|context|messages?)\b[^.]{0,60}\bexceed|\bexceed\w*\b[^.]{0,60}\b(?:tokens?"
        r"|context|length)\b|n_ctx|context overflow|sequence length|maximum allowed (?:input )?(?:tokens|length)"
        r"|too many (?:characters|tokens)|shorten (?:the|your) (?:prompt|input|message|text)|context shift"
        r"|(?:not|n't) fit (?:in|into|within) .{0,20}context|长度超过|长度超出|超过最大长度|上下文长度",
    ),
    RefusalRule("context_too_long", (("nginx", "Request Entity Too Large"),), statuses(413)),
)

"""Refusals of the form of a request: its system role, its temperature, its format."""

from __future__ import annotations

from evaluators.llm_judge.refusals.rule import NOT_AUTH, RefusalRule, names_of

FORM: tuple[RefusalRule, ...] = (
    RefusalRule(
        "unsupported_system_role",
        (
            ("vllm", "System role not supported"),
            ("openai", "Unsupported value: 'messages[0].role' does not support 'system' with this model."),
            ("gemini", "Developer instruction is not enabled for models/gemma-3-27b-it"),
            ("vllm", "Conversation roles must alternate user/assistant/user/assistant/..."),
            ("tgi", "Template error: invalid operation: System role not supported (in <string>:1)"),
            ("bedrock", "This model doesn't support system messages."),
            ("mistral", "Unexpected role 'system' after role 'user'"),
            ("llama.cpp", "Only user and assistant roles are supported!"),
        ),
        NOT_AUTH,
        params=names_of("messages[0].role messages.0.role system system_instruction"),
        words=r"(?:system|developer)['\x60\"]? (?:role|message|prompt|instruction)s? (?:\w+ )?(?:\w+ )?(?:not|n't"
        r"|unsupported)"
        r"|(?:not|n't) support (?:the |a )?['\x60\"]?(?:system|developer)|(?:unexpected|unknown|invalid"
        r"|unsupported) role"
        r"|roles? must (?:be|alternate)|only user and assistant roles|messages\[0\]\.role|messages\.0\.role"
        r"|(?:system|developer) instruction is not|system message.{0,20}(?:unsupported|not allowed|not permitted)",
    ),
    RefusalRule(
        "unsupported_temperature",
        (
            ("openai", "Unsupported value: 'temperature' does not support 0 with this model."),
            ("litellm", "UnsupportedParamsError: gpt-5 models don't support temperature=0. Only temperature=1 is."),
            ("anthropic", "`temperature` may only be set to 1 when thinking is enabled."),
            ("moonshot", "invalid temperature: only 1 is allowed for this model"),
        ),
        NOT_AUTH,
        params=names_of("temperature"),
        words=r"\btemperature\b",
    ),
    RefusalRule(
        "unsupported_format",
        (
            ("openai", "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."),
            ("openrouter", "No endpoints found that can handle the requested parameters."),
            ("openrouter", "No endpoints found that support tool use"),
            ("deepseek", "This response_format type is unavailable now"),
            ("deepseek", "deepseek-reasoner does not support this tool_choice"),
            ("dashscope", "'messages' must contain the word 'json' in some form, to use 'response_format'"),
            ("ollama", "registry.ollama.ai/library/gemma:2b does not support tools"),
            ("vllm", '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
            ("llama.cpp", "The model produced output that does not match the expected peg-native format"),
            ("llama.cpp", "failed to parse grammar"),
            ("gemini", "Function calling with a response mime type: 'application/json' is unsupported"),
            ("anthropic", "Thinking may not be enabled when tool_choice forces tool use."),
            ("mistral", "Extra inputs are not permitted"),
            ("azure_openai", "Unrecognized request arguments supplied: response_format"),
        ),
        NOT_AUTH,
        codes=names_of("json_validate_failed tool_use_failed unsupportedparamserror unsupported_parameter"),
        params=names_of("response_format tools tool_choice functions function_call parallel_tool_calls"),
        words=r"response.?(?:format|schema|mime)|json[ _]?(?:schema|object|mode|validat)|output_(?:format|config)"
        r"|structured.?output"
        r"|guided_|grammar|peg-native|tool.?choice|tool use|tool.?call|tools? (?:is|are) not"
        r"|\btools\b.{0,30}(?:support|param|allow)"
        r"|support(?:s|ed)? tools?|function.?call|requested parameters|invalid schema|unsupported schema"
        r"|(?:extra|additional) (?:fields?|inputs?|properties|parameters)|unrecognized request arg|(?:unsupported"
        r"|unknown) (?:param|field)",
    ),
)

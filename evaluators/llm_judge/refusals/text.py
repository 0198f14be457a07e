"""Refusals of one text by a filter, a guardrail or a policy."""

from __future__ import annotations

from evaluators.llm_judge.refusals.rule import ANY, RefusalRule, names_of, statuses

TEXT: tuple[RefusalRule, ...] = (
    RefusalRule(
        "content_filtered",
        (
            ("azure_openai", "The response was filtered due to the prompt triggering the content management policy."),
            ("openai", "Invalid prompt: your prompt was flagged as potentially violating our usage policy."),
            ("openai", "Your request was rejected as a result of our safety system."),
            ("deepseek", "Content Exists Risk"),
            ("dashscope", "Input data may contain inappropriate content."),
            ("dashscope", "<400> InternalError.Algo.DataInspectionFailed: Input text data may contain it."),
            ("xai", "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"),
            ("openrouter", "anthropic/claude requires moderation on OpenRouter. Your input was flagged for violence."),
            ("anthropic", "Output blocked by content filtering policy"),
            ("gemini", "The prompt was blocked: PROHIBITED_CONTENT"),
            ("litellm", "litellm.ContentPolicyViolationError: AzureException - the prompt was refused"),
            ("litellm", "Violated guardrail policy"),
            ("bedrock", "The request was blocked by a Guardrail"),
            ("zhipu", "系统检测到输入或生成内容可能包含不安全或敏感内容"),
            ("minimax", "input new_sensitive"),
            ("volcengine", "The request failed because the input text may contain sensitive information."),
            ("moonshot", "The request was rejected because it was considered high risk"),
            ("stepfun", "The content you provided or machine outputted is blocked. It was censored."),
            ("gateway", "The message violates our policy."),
            ("gateway", "Your request was rejected by moderation"),
            ("baidu", "the content of the user field is unsafe"),
            ("litellm", "Violated guardrail: prompt injection detected"),
            ("lakera", "Prompt injection detected"),
            ("azure_openai", "Jailbreak attempt detected in the user prompt"),
            ("azure_openai", "The request failed with ResponsibleAIPolicyViolation"),
            ("vertex", "Blocked by Model Armor floor settings"),
            ("cloudflare", "Prompt blocked due to security configurations"),
            ("litellm", "Content blocked: keyword 'x' detected (severity: high)"),
            ("presidio", "Blocked entity detected: CREDIT_CARD. This entity is not allowed to be used"),
            ("portkey", "The guardrail checks defined in the config failed."),
            ("aim", "PII detected in the user message"),
            ("baidu", "the content of user field is illegal"),
            ("one_api", "内容审核未通过"),
            ("gateway", "Request rejected: contains personally identifiable information (PII)"),
            ("gateway", "Input contains forbidden words"),
            ("gateway", "The text contains profanity and was rejected"),
            ("gateway", "Toxicity detected in the prompt"),
            ("prompt_security", "Blocked by Prompt Security, Violations: Prompt Injection Engine"),
        ),
        ANY - {401},
        codes=names_of(
            "content_filter content_filtered content_policy_violation contentpolicyviolationerror "
            "responsibleaipolicyviolation data_inspection_failed datainspectionfailed content_moderation "
            "moderation_blocked moderation_error prohibited_content safety safety_error invalid_prompt "
            "cyber_policy_violation sensitivecontentdetected inputtextsensitivecontentdetected new_sensitive "
            "guardrail_violation prompt_injection prompt_injection_detected jailbreak jailbreak_detected "
            "guardrail_intervened guardrail_blocked content_blocked policy_violation content_safety_violation "
            "unsafe_content outputtextsensitivecontentdetected user_unsafe system_unsafe"
        ),
        words=r"content exists risk|content.?(?:filter|management polic|policy|moderation|safety|violat)"
        r"|violat\w* (?:of )?(?:our |the |their |its )?(?:\w+ )?(?:usage|content|safety|acceptable|guardrail"
        r"|community|use)"
        r"|(?:usage|content|safety|use) (?:guidelines|polic(?:y|ies)).{0,30}violat"
        r"|(?:inappropriate|sensitive|prohibited|harmful|unsafe|illegal|toxic)[ _-]?(?:or \w+ )?(?:content"
        r"|information|words|text|input)"
        r"|data.?inspection|requires moderation|(?:was|were|been) flagged|flagged (?:as|for|by)"
        r"|safety[ _](?:system|filter|settings|check|reason)"
        r"|prohibited_content|blocked (?:by|due to|because|for) .{0,40}(?:safety|polic|content|guardrail"
        r"|prohibited|moderation|filter)"
        r"|(?:prompt|input|request) was blocked|guardrail|new_sensitive|content (?:security|risk)|risk control"
        r"|considered high risk|violat.{0,40}(?:polic|guideline|terms of)|(?:content|prompt|text|output)s? violat"
        r"|(?:rejected|refused|stopped) by .{0,20}moderation|\bcontent\b.{0,40}\bunsafe"
        r"|prompt.?(?:injection|attack)|jail.?break|responsible.?ai|model.?armor|prompt.?security"
        r"|(?:prompt|response|content|message|entity|keyword|output)s? (?:was |is |has been |were )?blocked"
        r"|blocked (?:entity|keyword|phrase|word|topic|content|prompt)|\bpii\b.{0,20}(?:detected|found)|malicious"
        r"|security polic|policy.?violation|censored|hate speech|self-harm|不安全|敏感|违规|违法|审核未通过|内容审核"
        r"|\bcontent\b.{0,40}\billegal|personally identifiable|forbidden (?:words?|phrases?|content|terms)"
        r"|profanity|toxicity|child safety",
    ),
    RefusalRule("content_filtered", (("stepfun", "Unavailable For Legal Reasons"),), statuses(451)),
)

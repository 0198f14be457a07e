"""Refusals of an account: its quota, its key, and the rights of its key."""

from __future__ import annotations

from evaluators.llm_judge.refusals.rule import REFUSED, RefusalRule, names_of, statuses

QUOTA: tuple[RefusalRule, ...] = (
    RefusalRule(
        "quota",
        (("gemini", "Quota exceeded for metric: generate_content_free_tier_requests, limit: 0"),),
        statuses(429),
        words=r"quota exceeded for metric.*limit: 0\b",
    ),
    RefusalRule(
        "rate_limited",
        (
            ("gemini", "Quota exceeded for metric: generate_content_free_tier_requests, limit: 20"),
            ("gemini", "You exceeded your current quota. For more, head to: https://ai.google.dev/gemini-api/docs"),
            ("openai", "Limit: 3 / min. Please add a payment method to your account to increase your rate limit."),
            ("gateway", "Your limit is 5 requests per second; top up to increase limits."),
        ),
        statuses(429),
        codes=names_of("resource_exhausted throttling.ratequota limit_requests limit_burst_rate"),
        words=r"quota exceeded for (?:quota )?metric.*limit: [1-9]|ai\.google\.dev|(?:per|each) (?:minute|second"
        r"|hour)"
        r".{0,80}quota|free-models-per-|(?:requests?|tokens?|calls?|rpm|tpm|\d)\W{0,4}(?:per|/) ?"
        r"(?:min|minute|sec|second|hour)\b",
    ),
    RefusalRule(
        "quota",
        (
            ("openai", "You exceeded your current quota, please check your plan and billing details."),
            ("anthropic", "Your credit balance is too low to access the Anthropic API."),
            ("anthropic", "You have reached your specified API usage limits. You will regain access on 2026-10-01."),
            ("xai", "Your team has either used all available credits or reached its monthly spending limit."),
            ("xai", "You have run out of credits or need a Grok subscription."),
            ("xai", "Your newly created team doesn't have any credits yet."),
            ("deepseek", "Insufficient Balance"),
            ("openrouter", "Key limit exceeded (total limit). Manage it in the settings."),
            ("openrouter", "Insufficient credits. Add more at the settings page."),
            ("litellm", "Budget has been exceeded! Current cost: 14.2, Max budget: 10.0"),
            ("litellm", "ExceededBudget: User=u1 over budget. Spend=10.1, Budget=10.0"),
            ("dashscope", "Access denied, please make sure your account is in good standing. Overdue payment."),
            ("dashscope", "The free tier of the model has been exhausted."),
            ("together_ai", "Credit limit exceeded, please navigate to the billing page."),
            ("fireworks", "Account is suspended, possibly due to reaching the monthly spending limit."),
            ("huggingface", "You have exceeded your monthly included credits for Inference Providers."),
            ("siliconflow", "Sorry, your account balance is insufficient"),
            ("openai", "Billing hard limit has been reached"),
            ("gemini", "This API method requires billing to be enabled. Please enable billing on project #123."),
            ("litellm", "ExceededTokenBudget: Current spend for token: 10.5; Max Budget for Token: 10.0"),
            ("databricks", "The endpoint is disabled due to a rate limit set to 0."),
            ("gateway", "You have reached your weekly limit. Upgrade your plan."),
            ("cohere", "You are using a Trial key, which is limited to 1000 API calls / month."),
            ("one_api", "用户额度不足, 剩余额度: 0.000000"),
        ),
        REFUSED,
        codes=names_of(
            "insufficient_quota billing_hard_limit_reached billing_not_active insufficient_credits "
            "insufficient_balance insufficient_user_quota budget_exceeded billing_error credit_limit "
            "credit_limit_exceeded arrearage allocationquota.freetieronly accountoverdueerror "
            "exceeded_current_quota_error usage_limit_reached spend_limit_reached payment_required"
        ),
        words=r"insufficient[_ ](?:\w+ )?(?:quota|credits?|balance|funds)|balance is (?:insufficient|too low)"
        r"|not enough (?:credits?|balance|funds)|(?:out of|no|any|all) (?:available |remaining )?credits"
        r"|usage limits?\b"
        r"|(?:spend|spending|credit|billing hard|billing) limit|key limit exceeded|exceeded your (?:monthly"
        r"|current quota)"
        r"|budget.{0,40}exceeded|exceeded.{0,20}budget|over budget|overdue|free tier.{0,60}exhausted"
        r"|requires more credits|quota (?:is |has been )?(?:exhausted|used up)|check your plan and billing"
        r"|top.?up|recharge|purchase (?:more )?credits|payment (?:required|method)|negative balance"
        r"|limit set to 0|billing to be enabled|enable billing|exceeded\w{0,20}budget"
        r"|(?:weekly|monthly) limit|calls / month|余额不足|额度不足|额度已用尽|欠费",
    ),
    RefusalRule("quota", (("openrouter", "Payment required"),), statuses(402)),
)

KEY: tuple[RefusalRule, ...] = (
    RefusalRule(
        "unauthorized",
        (
            ("gemini", "API key not valid. Please pass a valid API key."),
            ("gemini", "API key expired. Please renew the API key."),
            ("gemini", "Your API key was reported as leaked. Please use another API key."),
            ("xai", "Incorrect API key provided: wr***ng. You can obtain an API key from the console."),
            ("openai", "Your account has been deactivated"),
            ("anthropic", "invalid x-api-key"),
            ("openrouter", "No auth credentials found"),
            ("deepseek", "Authentication Fails (no such user)"),
            ("litellm", "Authentication Error, Invalid proxy server token passed."),
            ("minimax", "login fail: Please carry the API secret key in the 'Authorization' field of the header"),
            ("bedrock", "The security token included in the request is expired"),
            ("bedrock", "Signature expired: 20261001T000000Z is now earlier than 20261002T000000Z"),
            ("gateway", "Authorization header is missing"),
            ("gemini", "Method doesn't allow unregistered callers (callers without established identity)."),
            ("gemini", "Missing or invalid Authorization header."),
        ),
        REFUSED,
        codes=names_of(
            "invalid_api_key api_key_invalid invalidapikey incorrect_api_key authentication_error auth_error "
            "unauthenticated account_deactivated api_key_expired expired_api_key token_expired "
            "invalid_authentication consumer_suspended"
        ),
        words=r"(?:api|access|secret|x-api)[ _-]?key.{0,30}(?:invalid|not valid|expired|revoked|disabled|deleted"
        r"|missing|leaked"
        r"|not found|required|suspended|reported)|(?:invalid|incorrect|expired|revoked|missing|wrong|malformed|no) "
        r"(?:\w+ )?(?:api|access|secret|x-api)[ _-]?key|authentication (?:fail|error|required)"
        r"|auth(?:entication)? credentials"
        r"|invalid (?:auth|bearer|proxy server token|credentials|access token|api token)|unauthorized|unauthenticated"
        r"|account.{0,40}(?:deactivated|suspended|disabled|terminated)|login fail|unregistered callers"
        r"|security token.{0,40}(?:invalid|expired)|(?:missing|invalid) authorization"
        r"|authorization header.{0,20}(?:missing|required)"
        r"|signature.{0,20}(?:expired|mismatch|not match)",
    ),
    RefusalRule(
        "unauthorized",
        (("litellm", "litellm.AuthenticationError: OpenAIException - Incorrect API key provided: sk-abc"),),
        frozenset(range(500, 600)),
        codes=names_of("invalid_api_key api_key_invalid authentication_error authenticationerror"),
        words=r"\bAuthenticationError\b|incorrect api key provided|api key not valid",
    ),
    RefusalRule("unauthorized", (("ollama", "unauthorized"),), statuses(401)),
)

RIGHTS: tuple[RefusalRule, ...] = (
    RefusalRule(
        "forbidden",
        (
            ("openai", "Country, region, or territory not supported"),
            ("gemini", "User location is not supported for the API use."),
            ("openai", "You have insufficient permissions for this operation. Missing scopes: model.request."),
        ),
        REFUSED,
        codes=names_of("permission_denied permission_error permission-denied unsupported_country_region_territory"),
        words=r"(?:location|country|region)[^.]{0,40}not supported|insufficient permissions|permission denied"
        r"|missing scopes",
    ),
    RefusalRule("forbidden", (("any", "Forbidden"),), statuses(403)),
)

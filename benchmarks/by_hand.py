"""Ready evaluators written by hand in Python with RE2: the limit of what a compiler can reach.

Each function takes the globals that its evaluator reads, and returns the evaluator's verdict and printed lines. The
functions have no limits of steps, memory and time, and take no values of other types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import re2

Verdict = tuple[bool | None, str]
Event = Mapping[str, Any]
"""The element of `evaluation_events`; `properties` and `target` are the globals of these names."""

# ------------------------------------------------------------------------------------------ no_repeated_text


def no_repeated_text(event: Event) -> Verdict:
    """The same sentence three times, or a loop of the same words."""
    reply = event["reply_text"]
    prose = reply
    if "```" in reply:
        prose = " ".join(reply.split("```")[::2])
    spaced = prose[:10_000].lower().replace("\n", " ").strip()
    while "  " in spaced:
        spaced = spaced.replace("  ", " ")
    words = spaced.split(" ")
    if len(words) < 20:
        return None, f"Only {len(words)} words of prose: too few to judge."
    sentences: dict[str, int] = {}
    for sentence in prose.lower().replace("\n", ".").replace("!", ".").replace("?", ".").split("."):
        key = sentence.strip()
        if len(key) >= 25 and not key.startswith("|"):
            sentences[key] = count = sentences.get(key, 0) + 1
            if count > 2:
                return False, f'Said {count} times: "{key[:100]}"'
    uses: dict[str, int] = {}
    for word in words:
        uses[word] = uses.get(word, 0) + 1
    phrases: dict[str, int] = {}
    for at in range(len(words) - 7):
        if uses[words[at]] > 3 and uses[words[at + 1]] > 3:
            phrase = " ".join(words[at : at + 8])
            phrases[phrase] = count = phrases.get(phrase, 0) + 1
            if count > 3:
                return False, f'In a loop: "{phrase[:100]}"'
    return True, "Nothing is said over and over."


# -------------------------------------------------------------------------------------------- reply_language

_SCRIPTS = {
    name: (re2.compile(rf"\p{{{name}}}"), re2.compile(rf"([\p{{{name}}}]+)"))
    for name in ("Latin", "Cyrillic", "Greek", "Hebrew", "Arabic", "Devanagari", "Thai", "Hangul", "Han")
}
_OTHER_LETTER = re2.compile(r"[^\PL\p{Latin}]")
_FOUR_LATIN = re2.compile(r"(?:\p{Latin}\P{Latin}*){4}")
_TWO_KANA = re2.compile(r"(?:[\p{Hiragana}\p{Katakana}][^\p{Hiragana}\p{Katakana}]*){2}")


def _main_script(text: str) -> str | None:
    if "```" in text:
        text = " ".join(text.split("```")[::2])
    sample = text[:300]
    if not _OTHER_LETTER.search(sample):
        return "Latin" if _FOUR_LATIN.search(sample) else None
    if _TWO_KANA.search(sample):
        return "Japanese"
    best, most = None, 3
    for name, (one, run) in _SCRIPTS.items():
        if one.search(sample):
            count = sum(map(len, run.findall(sample)))
            if count > most:
                best, most = name, count
    return best


def reply_language(event: Event) -> Verdict:
    """The reply is in the script of the user's last message."""
    message = ("\n" + event["input_text"]).split("\nuser: ")[-1].split("\nassistant: ")[0]
    wanted, actual = _main_script(message), _main_script(event["reply_text"])
    if wanted is None or actual is None:
        return None, "Too little text to tell its script."
    return wanted == actual, f"The reply is in {actual} letters, {wanted} expected."


# ------------------------------------------------------------------------------------------------- patterns

_PROFANE = re2.compile(
    r"(?i)(?:^|[^\pL\pN])((?:f[uv*]ck|m[o0*]th[e3*]rf[uv*]ck[e3*]r|[s$5]h[i1!*]t|b[uv*]ll[s$5]h[i1!*]t|"
    r"[a@4*][s$5][s$5]h[o0*]l[e3*]|b[a@4*][s$5]t[a@4*]rd|b[i1!*]tch|c[uv*]nt|d[i1!*]ckh[e3*][a@4*]d|pr[i1!*]ck|"
    r"w[a@4*]nk[e3*]r|tw[a@4*]t|p[i1!*][s$5][s$5]\s+[o0*]ff|d[o0*][uv*]ch[e3*]b[a@4*]g|[s$5]l[uv*]t|wh[o0*]r[e3*])"
    r"(?:s|es|ed|er|ers|ing|in'|y|ty|head)?)(?:$|[^\pL\pN])"
)


def profanity(event: Event) -> Verdict:
    """A swear word, also with stars or digits for letters."""
    reply = event["output_text"]
    if not reply.strip():
        return None, "The reply is empty."
    hit = _PROFANE.search(reply)
    if hit:
        return False, f"Profanity: {hit[1][:1]}***, {len(hit[1])} characters long."
    return True, "Clean."


_SECRETS = {
    "AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})\b",
    "GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,}",
    "OpenAI key": r"\bsk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{32,}",
    "Anthropic key": r"\bsk-ant-[A-Za-z0-9_-]{24,}",
    "Google API key": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "Slack token": r"\bxox[abeprs]-[A-Za-z0-9-]{10,}",
    "Stripe key": r"\b[rs]k_live_[A-Za-z0-9]{16,}\b",
    "npm token": r"\bnpm_[A-Za-z0-9]{36}\b",
    "JSON web token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    "private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s*[A-Za-z0-9+/=]{16}",
    "password in a URL": r"\b[a-z][a-z0-9+.-]*://[^\s:/@]+:[^\s:/@]{6,}@[^\s/]+",
}
_ANY_SECRET = re2.compile("(?:" + ")|(?:".join(_SECRETS.values()) + ")")
_EACH_SECRET = {name: re2.compile(pattern) for name, pattern in _SECRETS.items()}
_PLACEHOLDER = re2.compile(
    r"(?i)example|placeholder|your[-_ ]|xxxx|\*\*\*|<[a-z]|:password@|:secret@|changeme|12345678"
)


def no_secrets(event: Event) -> Verdict:
    """Look for keys, tokens and passwords that are not placeholders."""
    reply = event["output_text"]
    if not reply.strip():
        return None, "The reply is empty."
    found = []
    if _ANY_SECRET.search(reply):
        for name, pattern in _EACH_SECRET.items():
            hit = pattern.search(reply)
            if hit and not _PLACEHOLDER.search(hit[0]):
                found.append(f"{name} ({hit[0][:4]}…, {len(hit[0])} characters)")
    if found:
        return False, "Found: " + ", ".join(found)
    return True, f"None of {len(_SECRETS)} kinds of secrets."


_REQUIRED = (("not financial advice", "not investment advice"), ("risk", "lose money"))


def required_keywords(event: Event) -> Verdict:
    """Look for one phrase of each group."""
    reply = event["reply_text"].lower()
    if not reply.strip():
        return None, "No text to search: the reply is empty or only calls tools."
    missing = [" or ".join(group) for group in _REQUIRED if not any(phrase in reply for phrase in group)]
    if missing:
        return False, "Missing: " + "; ".join(missing)
    return True, f"All {len(_REQUIRED)} required phrases are there."


_REFUSALS = [
    re2.compile(pattern)
    for pattern in (
        (
            r"(?i)\bI(?:'m| am)? ?(?:so |very |really )?(?:sorry|afraid|apologi[sz]e)[^.!?\n]{0,60}\b(?:can't|"
            r"cannot|can not|unable|not able|won't|not allowed)\b"
        ),
        (
            r"(?i)^(?:unfortunately,? )?I(?:'m| am)? (?:can't|cannot|can not|won't|unable to|not able to|"
            r"not allowed to) (?:help|assist|provide|answer|do that|comply|fulfil|create|write|generate|discuss|"
            r"engage|support|continue|participate|share)"
        ),
        (
            r"(?i)\bas an? (?:AI|artificial intelligence|language model|large language model|"
            r"AI (?:language )?model|AI assistant)\b[^.!?\n]{0,40}\b(?:can't|cannot|can not|unable|not able|won't|"
            r"must decline)\b"
        ),
        r"(?i)^I (?:must|have to|need to|will have to) (?:respectfully )?decline\b",
        (
            r"(?i)\b(?:against|violates?) (?:my|our|OpenAI's|Anthropic's) (?:guidelines|programming|policy|"
            r"policies|content policy|usage policies)\b"
        ),
    )
]


def no_refusal(event: Event) -> Verdict:
    """The model declined at the beginning of its reply."""
    text = event["output_text"].replace("’", "'").strip()
    if not text:
        return None, "The reply is empty."
    if text.startswith("[refusal]"):
        return False, "The provider marked the reply as a refusal."
    if text.startswith("[tool_call"):
        return None, "The reply only calls tools."
    for pattern in _REFUSALS:
        hit = pattern.search(text[:240])
        if hit:
            return False, f'Refusal: "{hit[0]}"'
    return True, "No refusal."


_LIMIT = re2.compile(
    r"(?i)^(?:finish_?reason[._])?(?:length|incomplete|max.?(?:output.?|new.?|total.?)?(?:tokens?|length)|"
    r"(?:model|token|context).?(?:length|limit|window).*)$"
)
_LAST_LINE = re2.compile(r"(?s)([^\n]*)$")
_LIST_LINE = re2.compile(r"^\s*(?:[-*+|#>]|\d+[.)])")
_OPEN_END = re2.compile(r"[\pL,;:-]$")


def not_cut_off(event: Event) -> Verdict:
    """The model stopped for its token limit, or in the middle of a sentence."""
    reason, reply = event["finish_reason"], event["reply_text"].strip()
    if not reply or event["tool_calls"]:
        return None, "No text to judge: the reply is empty or calls tools."
    end = reply[max(0, len(reply) - 61) :]
    if reason and _LIMIT.search(reason):
        return False, f"The model stopped for its limit ({reason}). The end: …{end}"
    last = _LAST_LINE.search(reply)[1]
    is_prose = len(last) > 80 and not _LIST_LINE.search(last)
    if reply.count("```") % 2 or (reason is None and is_prose and _OPEN_END.search(last)):
        return False, f"The text breaks off: …{end}"
    return True, "The text ends as texts do." if reason is None else f"The model stopped by itself ({reason})."


_MARKS = {
    "a heading": r"(?m)^#{1,6} \S",
    "bold text": r"\*\*[^*\s][^*]*\*\*|__[^_\s][^_]*__",
    "a code fence": "```",
    "inline code": r"`[^`\n]+`",
    "a link": r"\[[^\]\n]+\]\([^)\s]+\)",
    "a table": r"(?m)^\|.+\|\s*\n\|[ :|-]+\|",
    "a quote": r"(?m)^> \S",
}
_ANY_MARK = re2.compile("(?:" + ")|(?:".join(_MARKS.values()) + ")")
_EACH_MARK = {name: re2.compile(pattern) for name, pattern in _MARKS.items()}


def plain_text(event: Event) -> Verdict:
    """Markdown in a channel that shows it raw."""
    reply = event["reply_text"]
    if not reply.strip():
        return None, "No text: the reply is empty or only calls tools."
    found = []
    if _ANY_MARK.search(reply):
        for name, pattern in _EACH_MARK.items():
            hit = pattern.search(reply)
            if hit:
                found.append(f"{name} ({hit[0].replace(chr(10), ' ')[:40]})")
    if found:
        return False, "Markdown: " + ", ".join(found)
    return True, "Plain text."


BY_HAND: dict[str, Callable[[Event], Verdict]] = {
    "no_repeated_text": no_repeated_text,
    "reply_language": reply_language,
    "profanity": profanity,
    "no_secrets": no_secrets,
    "required_keywords": required_keywords,
    "no_refusal": no_refusal,
    "not_cut_off": not_cut_off,
    "plain_text": plain_text,
}
"""The evaluators that took most of the time when this list was made."""

# ------------------------------------------------------------------------------- the programs of `hog_programs`


def p1_length(table: Mapping[str, Any]) -> Verdict:
    """The length of the output."""
    length = len(table["output"] or "")
    if length > 2000:
        return False, f"Output too long: {length} characters (max 2000)"
    return True, f"Output length OK: {length} characters"


_P2_REQUIRED = ("disclaimer", "not financial advice")
_P2_BANNED = ("as an ai language model", "i cannot help", "guaranteed returns", "kill", "password")
_P2_FILLER = re2.compile(r"\b(todo|fixme|lorem ipsum)\b")


def p2_keywords(table: Mapping[str, Any]) -> Verdict:
    """Required and banned keywords."""
    out = (table["output"] or "").lower()
    for word in _P2_REQUIRED:
        if word not in out:
            return False, f"Missing required keyword: {word}"
    for word in _P2_BANNED:
        if word in out:
            return False, f"Banned keyword: {word}"
    if _P2_FILLER.search(out):
        return False, "Placeholder text in output"
    return True, f"All checks passed for {table['properties'].get('$ai_model') or 'unknown'}"


_P4_PATTERNS = {
    name: re2.compile(pattern)
    for name, pattern in {
        "ssn": r"\b\d{3}-\d{2}-\d{4}\b",
        "credit_card": r"\b(?:\d[ -]?){13,16}\b",
        "iban": r"\b[A-Z]{2}\d{2}[A-Z0-9]{10,30}\b",
        "ipv4": r"\b(?:\d{1,3}\.){3}\d{1,3}\b",
        "aws_key": r"AKIA[0-9A-Z]{16}",
        "private_key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
        "email": r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}",
    }.items()
}


def p4_pii(table: Mapping[str, Any]) -> Verdict:
    """Personal data by seven patterns."""
    lines, found = [], []
    for name, pattern in _P4_PATTERNS.items():
        hit = pattern.search(table["output"])
        if hit:
            found.append(name)
            lines.append(f"{name}: {hit[hit.re.groups and 1]}")
    if found:
        return False, "\n".join([*lines, f"PII found: {', '.join(found)}"])
    return True, ""


PROGRAMS_BY_HAND: dict[str, Callable[[Mapping[str, Any]], Verdict]] = {
    "p1_length": p1_length,
    "p2_keywords": p2_keywords,
    "p4_pii": p4_pii,
}
"""The programs of `hog_programs`."""

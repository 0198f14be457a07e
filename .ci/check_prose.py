"""Find sentences that a reader has to read twice. Print `path:line: text` for each; exit with 1 if there are any.

Reads docstrings, comments, help texts, messages, pages, templates and the texts of YAML files. The rules are those of
CONTRIBUTING.md:

1. Every sentence names its subject and has a verb. A sentence does not open with Of, Else or What, and one that opens
   with At, Between or another preposition has a verb.
2. "is not a" is used and "is no" is not. A noun is better than a clause: "queued records".
3. Things have the names of the field, such as "enqueued". `_INVENTED` lists the words that are not used.

Usage: check_prose.py [PATH …]. A path is a file or a folder; without one the whole repository is read.
"""

from __future__ import annotations

import ast
import io
import os
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]

ALLOWED = re.compile(
    r"\bthere (?:is|are|was|were) no\b"  # "there is not a key" says less than "there is no key"
    r"|\bof course\b"
    r"|(?<=\W)what is wrong\b",  # the name of the first part of every message to a user; not at the opening
    re.IGNORECASE,
)
"""Phrases that the rules would find and that read well. Add one only with its reason."""

SKIPPED = (
    "examples/conversations",
    "examples/generations",
    "locks",
    "tests/unit/ci/test_check_prose.py",
    "tests/unit/evaluators/llm_judge/data",
)
"""Texts that are data, such as conversations with a model, or generated."""

READ = frozenset({".ci", ".github"})
"""Hidden folders that hold texts of ours."""

MADE = frozenset({"build", "dist", "node_modules", "__pycache__"})
"""Folders that commands make."""

_PREPOSITIONS = "At|Between|From|By|With|Without|In|On|Under|Beyond|Within|Behind|Beside|After|Before|As"
_COMMENTED_BY_HASH = frozenset({"Makefile", "Dockerfile", "install-services", "run"})
_LISTED = re.compile(r"^(?:[-*+]|\d+[.)])\s+")
_SENTENCE_END = re.compile(r"(?<=[.!?;])[\"')*_]*\s+(?=[\"'(*_]*[A-Z])|(?<=:)\s+(?=[A-Z][a-z]+ )")
_OPENS = re.compile(r"^[\"'(*_]*(Of|Else|What)\b")
_ELSE = re.compile(r": else\b")
_OPENS_WITH_PREPOSITION = re.compile(rf"^[\"'(*_]*(?:{_PREPOSITIONS})\b")
_IS_NO = re.compile(
    r"\b(?:is|are|was|were|be|been)\s+no\s+(?!longer\b|more\b|less\b|fewer\b|later\b|earlier\b|one\b|matter\b)[\w`$\"']",
    re.IGNORECASE,
)
_WHAT = re.compile(
    r"\bwhat\s+(?:is|was|are|were|has|had|have|it|its|they|came|comes|does|did|follows|stands|lies|remains|waits|"
    r"would|could|can|cannot|must|may|nobody|somebody|no)\b",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"\b(?:say|tell|show|see|know|explain|ask|decide|determine|describe|find|learn|remember|understand|check|wonder|clear|"
    r"matter|name|print|report|question|guess|choose|define|judge)(?:s|es|d|ed|ing|n)?\b[^.;]{0,40}$|"
    r"\b(?:said|told|knew|found|seen)\b[^.;]{0,40}$|\b(?:how|who|where|when|why) and $",
    re.IGNORECASE,
)
"""Words before an indirect question, which may open with "what": "the log says what is missing"."""
_INVENTED = re.compile(
    r"\b(?:tak(?:en?|es|ing)|took) up\b(?! to\b)"
    r"|\bhand(?:ed|s|ing)? on\b"
    r"|\bmade again\b"
    r"|\b(?:stand(?:s|ing)?|stood) in line\b",
    re.IGNORECASE,
)
"""Invented words for things that have names: to accept, to enqueue, to recreate, to wait."""
_MARKUP = re.compile(r"(<script\b.*?</script>|<style\b.*?</style>|<[^>]*>|\{%.*?%\})", re.DOTALL)
_ATTRIBUTE = re.compile(r'\b(?:title|alt|placeholder|aria-label|content)="([^"]* [^"]*)"')
_AUXILIARIES = "is are was were has have had can cannot could may might must shall should will would do does did"
_STEMS = (
    "accept add allow answer appear apply arrive ask become begin belong break bring build call carry change check "
    "choose close come commit compare contain cost count cut decide decode depend differ drop end evaluate exit fail "
    "fall fill find fit follow forget get give go grow hang happen help hold keep know last lead learn leave let lie "
    "list load look lose make mark match mean meet move name need note open pass pay pick place poll prefer print "
    "produce put raise reach read receive refer refuse reject release remain remember remove repeat replace report "
    "require resolve retry return round run say see seem send serve set share show shrink sit skip speak stand start "
    "stay stop store take tell treat try turn use wait want win work write"
)
_PAST = (
    "made came went gave took told said kept left lost met got saw knew found held sent brought built fell grew rose "
    "stood began became ran led meant paid understood thought spoke wrote"
)
_VERBS = re.compile(
    rf"\b(?:{'|'.join([*_AUXILIARIES.split(), *_PAST.split()])}|(?:{'|'.join(_STEMS.split())})(?:e?s)?|"
    r"goes|\w+n't|[a-z]{3,}ed)\b",
    re.IGNORECASE,
)
"""A sentence with one of these words has a verb; the list grows when a good sentence is found."""


@dataclass(frozen=True, slots=True)
class Prose:
    """A piece of text and where it begins. `sentences`: it consists of whole sentences, so that rule 1 holds too."""

    line: int
    text: str
    sentences: bool


def main(arguments: list[str]) -> int:
    """Check the files that the paths name; return the exit code: 0 clean, 1 findings, 2 a path that is not there."""
    missing = [argument for argument in arguments if not Path(argument).exists()]
    if missing:
        print(f"check_prose: {missing[0]} does not exist", file=sys.stderr)
        return 2
    found = 0
    for path in files([Path(argument).resolve() for argument in arguments] or [ROOT]):
        for line, text in findings(path):
            print(f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}:{line}: {text}")
            found += 1
    if found:
        print(f"check_prose: {found} sentences to rewrite; the rules are in CONTRIBUTING.md", file=sys.stderr)
    return 1 if found else 0


def files(paths: list[Path]) -> Iterator[Path]:
    """Yield the files at and below `paths` that hold prose, except made, data and hidden files."""
    for path in paths:
        if path.is_file() and not _is_data(path):
            yield path
        for folder, below, names in os.walk(path):
            below[:] = sorted(
                name for name in below if not (name.startswith(".") and name not in READ) and name not in MADE
            )
            for file in (Path(folder, name) for name in sorted(names)):
                if not _is_data(file) and _reader(file):
                    yield file


def _is_data(path: Path) -> bool:
    """Return whether a file is below one of `SKIPPED`. A hook names such a file too when a commit changes it."""
    return path.is_relative_to(ROOT) and str(path.relative_to(ROOT)).startswith(SKIPPED)


def findings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of each sentence of the file that breaks a rule."""
    reader = _reader(path)
    if reader is None:
        return
    for prose in reader(path.read_text(encoding="utf-8")):
        yield from _broken(prose)


def _reader(path: Path) -> Callable[[str], Iterator[Prose]] | None:
    """Return the function that finds the prose in a file of this kind, or None."""
    if path.suffix == ".py":
        return _python
    if path.suffix == ".md":
        return _markdown
    if path.suffix in {".yaml", ".yml"}:
        return _yaml
    if path.suffix in {".toml", ".sh"} or path.name in _COMMENTED_BY_HASH:
        return lambda text: _comments_of_lines(text, "#")
    if path.suffix in {".hog", ".js"}:
        return lambda text: _comments_of_lines(text, "//")
    return {".html": _html, ".css": _css}.get(path.suffix)


def _broken(prose: Prose) -> Iterator[tuple[int, str]]:
    for offset, sentence in _sentences(prose.text):
        checked = ALLOWED.sub("it has", " ".join(sentence.split()))
        unclear = prose.sentences and (_fragment(checked) or _what(checked))
        if unclear or _IS_NO.search(checked) or _INVENTED.search(checked):
            yield prose.line + offset, " ".join(sentence.split())


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    """Yield each sentence with the number of lines before it. A blank line and an item of a list end a sentence too."""
    line = 0
    for block, height in _blocks(text):
        start = 0
        for end in [*(match.start() for match in _SENTENCE_END.finditer(block)), len(block)]:
            piece = block[start:end]
            leading = len(piece) - len(piece.lstrip())
            if piece.strip():
                yield line + block.count("\n", 0, start + leading), piece.strip()
            start = end
        line += height


def _blocks(text: str) -> Iterator[tuple[str, int]]:
    """Yield paragraphs and list items, each with its height in lines."""
    block: list[str] = []
    for raw in text.split("\n"):
        stripped = raw.strip()
        if block and (not stripped or _LISTED.match(stripped)):
            yield "\n".join(block), len(block)
            block = []
        block.append(_LISTED.sub("", stripped))
    yield "\n".join(block), len(block)


def _fragment(sentence: str) -> bool:
    plain = re.sub(r"`[^`]*`", "X", sentence)
    opening = _OPENS.match(plain)
    if _ELSE.search(plain):
        return True
    if opening:
        return not (opening[1] == "What" and plain.rstrip("\"')*_").endswith("?"))
    if not _OPENS_WITH_PREPOSITION.match(plain):
        return False
    return not _VERBS.search(re.sub(r"^\W*\w+", "", plain))


def _what(sentence: str) -> bool:
    if sentence.rstrip("\"')*_`").endswith("?"):
        return False
    return any(not _ASKS.search(sentence[: match.start()]) for match in _WHAT.finditer(sentence))


def _python(source: str) -> Iterator[Prose]:
    yield from _comments(source)
    nodes = list(ast.walk(ast.parse(source)))
    prose = _prose_strings(nodes)
    parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if id(node) in parts:
            continue
        if isinstance(node, ast.JoinedStr):
            pieces = [str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values]
            yield Prose(node.lineno, "".join(pieces), id(node) in prose)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield Prose(node.lineno, node.value, id(node) in prose)


def _prose_strings(nodes: list[ast.AST]) -> set[int]:
    """Return the ids of the nodes that hold whole sentences: docstrings, also of attributes, and help texts."""
    found: set[int] = set()
    for node in nodes:
        if isinstance(node, ast.Expr):
            found.add(id(node.value))
        elif isinstance(node, ast.Call):
            named = [keyword.value for keyword in node.keywords if keyword.arg in {"help", "description", "epilog"}]
            callee = getattr(node.func, "id", getattr(node.func, "attr", ""))
            measured = node.args[1:2] if callee in {"Counter", "Gauge", "Histogram", "Summary"} else []
            found.update(id(value) for value in [*named, *measured])
    return found


def _comments(source: str) -> Iterator[Prose]:
    """Yield comments; those that stand on lines of their own, one below the other, are one piece."""
    lines = source.split("\n")
    block: list[str] = []
    first = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or re.match(r"#\s*(?:type:|noqa|!|fmt:)", token.string):
            continue
        row, column = token.start
        text = re.sub(r"^#+:? ?", "", token.string)
        alone = not lines[row - 1][:column].strip()
        if block and alone and row == last + 1:
            block.append(text)
        else:
            if block:
                yield Prose(first, "\n".join(block), sentences=True)
            block, first = [_capital(text)], row
        last = row if alone else 0
    if block:
        yield Prose(first, "\n".join(block), sentences=True)


def _capital(text: str) -> str:
    """Return a comment with a capital: a comment that opens in lower case is held to the same rules."""
    return text[:1].upper() + text[1:]


def _markdown(text: str) -> Iterator[Prose]:
    """Yield paragraphs and table rows; code blocks and headings hold no sentences."""
    block: list[str] = []
    first = 0
    fenced = False
    for number, line in enumerate([*text.split("\n"), ""], 1):
        stripped = line.strip()
        if stripped.startswith("```"):
            fenced = not fenced
        row = stripped.startswith("|")
        if fenced or stripped.startswith(("```", "#")) or row or not stripped:
            if block:
                yield Prose(first, "\n".join(block), sentences=True)
            block = []
            if row and not fenced:
                for cell in stripped.strip("|").split(" | "):
                    yield Prose(number, cell.strip(), sentences=len(cell.split()) > 6)
            continue
        if not block:
            first = number
        block.append(line)


def _comments_of_lines(text: str, mark: str) -> Iterator[Prose]:
    """Yield the comments of a language whose comments run to the end of the line."""
    block: list[str] = []
    first = 0
    for number, line in enumerate([*text.split("\n"), ""], 1):
        stripped = line.strip()
        if stripped.startswith(mark) and not stripped.startswith("#!"):
            if not block:
                first = number
            block.append(stripped.lstrip("#/ "))
        elif block:
            yield Prose(first, "\n".join(block), sentences=True)
            block = []


def _yaml(text: str) -> Iterator[Prose]:
    """Yield comments and texts. A text need not be a sentence: it may be a title, or code with messages in it."""
    yield from _comments_of_lines(text, "#")
    with suppress(yaml.YAMLError):  # a template of a Helm chart
        for token in yaml.scan(text, Loader=yaml.CSafeLoader):
            if isinstance(token, yaml.ScalarToken) and " " in token.value:
                first = token.start_mark.line + (2 if token.style in ("|", ">") else 1)
                yield Prose(first, token.value, sentences=False)


def _html(text: str) -> Iterator[Prose]:
    """Yield the texts of a page or a template, and those of attributes that are shown or read aloud."""
    for found in _ATTRIBUTE.finditer(text):
        yield Prose(text.count("\n", 0, found.start()) + 1, found[1], sentences=False)
    line = 1
    for piece in _MARKUP.split(text):
        if not _MARKUP.fullmatch(piece) and " " in piece.strip():
            start = len(piece) - len(piece.lstrip())
            yield Prose(line + piece.count("\n", 0, start), piece.strip(), sentences=False)
        line += piece.count("\n")


def _css(text: str) -> Iterator[Prose]:
    """Yield the comments of a stylesheet."""
    for found in re.finditer(r"/\*(.*?)\*/", text, re.DOTALL):
        yield Prose(text.count("\n", 0, found.start()) + 1, _capital(found[1].strip(" *\n")), sentences=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

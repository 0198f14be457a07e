"""Evaluation definitions in YAML files: reading them with the line of every problem, and writing them.

A file holds one or more documents; a document is one evaluation or a list of them. Scalars are read as
YAML 1.2 has it, so `no` is a text, `010` is ten and a date stays as it is written.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import UUID, uuid5

import yaml

from conditions import ConditionSet, parse_conditions
from config.definition_errors import DefinitionError
from config.definitions import Evaluation, EvaluationDraft, parse_draft, read_condition_sets
from config.given import UnreadableFile, read_given

_T = TypeVar("_T")

MAX_FILE_BYTES = 4 * 1024 * 1024
_MAX_NODES = 200_000
_MAX_NODES_OF_ONE = 20_000
"""The limit for a text that somebody types, because PyYAML takes a second for so many values."""
_CASES = (".cases.yaml", ".cases.yml")
_IDS = UUID("6f6c2a0e-3c0b-5c1f-9b59-0d6a3a6f1e27")
"""Namespace of the ids of evaluations that a file gives none."""


@dataclass(frozen=True, slots=True, order=True)
class FileProblem:
    """A problem of a definition file; `line` and `column` count from 1, 0 is the file or the line as a whole."""

    path: Path
    line: int
    message: str
    column: int = 0

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.path, self.line, self.column) if part) + f": {self.message}"


@dataclass(frozen=True, slots=True)
class FileEvaluation:
    """One evaluation of a file. `id` is None unless the file gives one."""

    draft: EvaluationDraft
    id: str | None
    path: Path
    line: int

    def id_for(self, team_id: int) -> str:
        """Return the id in the store: the file's, or one that team and name always give."""
        return self.id or str(uuid5(_IDS, f"{team_id}/{self.draft.name}"))


@dataclass(frozen=True, slots=True)
class FileConditions:
    """The part of a file's evaluation that decides what matches. `id`: the file's, or a name for the reader."""

    id: str
    conditions: tuple[ConditionSet, ...]
    enabled: bool
    cohort: Literal["shared", "independent"]


_MATCHING_FIELDS = frozenset({"id", "conditions", "enabled", "sampling_cohort"})
"""A file that holds nothing else is taken for bare condition sets, not for a definition."""


def read_definitions(paths: Iterable[Path]) -> tuple[list[FileEvaluation], list[FileProblem]]:
    """Read files and folders; return the good evaluations, and the problems, duplicates among them."""
    good: list[FileEvaluation] = []
    files, problems = definition_files(paths)
    for file in files:
        for item in read_file(file):
            if isinstance(item, FileEvaluation):
                good.append(item)
            else:
                problems.append(item)
    return good, problems + duplicates(good)


def definition_files(paths: Iterable[Path]) -> tuple[list[Path], list[FileProblem]]:
    """Return the files among `paths`, and all `*.yaml` and `*.yml` files in and below the folders, sorted.

    Files of test cases (`*.cases.yaml`) are left out unless named themselves. A folder without files is a problem.
    """
    files: list[Path] = []
    problems: list[FileProblem] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(file for file in path.rglob("*") if file.suffix in (".yaml", ".yml") and file.is_file())
        inside = [file for file in inside if not file.name.endswith(_CASES)]
        if not inside:
            problems.append(FileProblem(path, 0, "holds no *.yaml file; name the folder that does"))
        files.extend(inside)
    return files, problems


def duplicates(evaluations: Sequence[FileEvaluation]) -> list[FileProblem]:
    """Return a problem for each evaluation whose id, or name if it has none, another had before."""
    seen: dict[str, FileEvaluation] = {}
    problems: list[FileProblem] = []
    for each in evaluations:
        key = f"id {each.id}" if each.id else f"name {each.draft.name!r}"
        first = seen.setdefault(key, each)
        if first is not each:
            message = f"{key} is defined at {first.path}:{first.line} too; give each evaluation its own name, or an id"
            problems.append(FileProblem(each.path, each.line, message))
    return problems


_MAX_DEPTH = 100


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2 and without keys that are there twice."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # replaces the parent's, which holds YAML 1.1's
    most_nodes = _MAX_NODES
    _depth = 0
    _nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node; the parser's work grows with the square of the depth, so the depth has a limit."""
        self._depth += 1
        self._nodes += 1
        if self._nodes > self.most_nodes:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # a gap in the stubs
            raise yaml.MarkedYAMLError(problem=f"more than {self.most_nodes} values", problem_mark=mark)
        if self._depth > _MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # a gap in the stubs
            raise yaml.MarkedYAMLError(problem=f"nested more than {_MAX_DEPTH} deep", problem_mark=mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002, RUF100  # PyYAML's signature
        seen: set[Any] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be a text", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value!r} is there twice; remove one", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def read_file(path: Path) -> Iterator[FileEvaluation | FileProblem]:
    """Yield the evaluations of one file; a `FileProblem` stands in the place of each that is wrong."""
    return _read(path, _evaluation)


def read_conditions(path: Path) -> Iterator[FileConditions | FileProblem]:
    """Yield the condition sets of one file, which holds whole definitions or only the fields that decide what matches.

    A whole definition is checked as `read_file` checks it, so that its problems are the same.
    """
    return _read(path, _conditions)


def _read(path: Path, make: Callable[[_Given], _T]) -> Iterator[_T | FileProblem]:
    """Yield what `make` makes of each document of a file, or its problem."""
    try:
        # Without a line's end PyYAML would take bytes that begin like UTF-16 for UTF-16.
        text = read_given(path, limit_bytes=MAX_FILE_BYTES).decode("utf-8-sig")
    except UnreadableFile as error:
        yield FileProblem(path, 0, error.problem)
    except UnicodeDecodeError:
        yield FileProblem(path, 0, "is not UTF-8 text; save it as UTF-8")
    else:
        yield from _read_text(path, text, make, most_nodes=_MAX_NODES)


def read_one(text: str) -> FileEvaluation | FileProblem:
    """Return the evaluation of a text that holds exactly one. The path of a problem names no file."""
    found = list(islice(_read_text(Path(), text, _evaluation, most_nodes=_MAX_NODES_OF_ONE), 2))
    return found[0] if len(found) == 1 else FileProblem(Path(), found[1].line, "holds a second evaluation; remove one")


def _read_text(path: Path, text: str, make: Callable[[_Given], _T], *, most_nodes: int) -> Iterator[_T | FileProblem]:
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        loader.most_nodes = most_nodes
        found = 0
        while loader.check_node():
            for node in _documents(loader.get_node()):
                found += 1
                yield _made(path, loader, node, make)
        if not found:
            yield FileProblem(path, 0, "holds no evaluation; write one, or remove the file")
    except yaml.YAMLError as error:
        yield _yaml_problem(path, error)
    except RecursionError:
        yield FileProblem(path, 0, "is nested too deeply; flatten it")
    finally:
        if loader is not None:
            loader.dispose()


def _documents(node: yaml.Node | None) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif node is not None and not (isinstance(node, yaml.ScalarNode) and node.value == ""):
        yield node


@dataclass(frozen=True, slots=True)
class _Given:
    """One document of a file: its fields as plain values, and where they stand."""

    fields: dict[str, Any]
    node: yaml.Node
    path: Path


def _made(path: Path, loader: _Loader, node: yaml.Node, make: Callable[[_Given], _T]) -> _T | FileProblem:
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        return FileProblem(path, line, "is not an evaluation; write `name:`, `evaluation_config:` and so on")
    if _size(node) > _MAX_NODES:
        return FileProblem(path, line, "expands to too much by its aliases; write it out")
    try:
        given = _Given(loader.construct_document(node), node, path)
    except yaml.YAMLError as error:
        return _yaml_problem(path, error)
    except ValueError as error:
        return FileProblem(path, line, f"holds a value that cannot be read ({error}); correct it")
    try:
        return make(given)
    except DefinitionError as error:
        line, column = _place_of_error(node, error)
        return FileProblem(path, line, str(error), column)


def _evaluation(given: _Given) -> FileEvaluation:
    raw = dict(given.fields)
    given_id = raw.pop("id", None)
    if "evaluation_type" not in raw and isinstance(raw.get("evaluation_config"), dict):
        # The one key of the configuration tells the type.
        for key, kind in (("source", "hog"), ("prompt", "llm_judge")):
            if key in raw["evaluation_config"]:
                raw["evaluation_type"] = kind
    try:
        identity = None if given_id is None else str(UUID(str(given_id)))
    except ValueError:
        raise DefinitionError("must be a UUID; correct it, or leave it out", path=("id",)) from None
    return FileEvaluation(parse_draft(raw), identity, given.path, given.node.start_mark.line + 1)


def _conditions(given: _Given) -> FileConditions:
    if not given.fields.keys() <= _MATCHING_FIELDS:
        found = _evaluation(given)
        draft = found.draft
        identity = found.id or draft.name
        return FileConditions(identity, tuple(draft.conditions), enabled=draft.enabled, cohort=draft.sampling_cohort)
    cohort = given.fields.get("sampling_cohort", "shared")
    if cohort not in ("shared", "independent"):
        raise DefinitionError("must be shared or independent", path=("sampling_cohort",))
    sets = read_condition_sets(given.fields.get("conditions"))
    enabled = given.fields.get("enabled", True) is not False
    return FileConditions(str(given.fields.get("id") or given.path.stem), sets, enabled=enabled, cohort=cohort)


def _size(node: yaml.Node) -> int:
    """Count nodes as the document has them when aliases are written out, up to just above the limit."""
    count, open_nodes = 0, [node]
    while open_nodes and count <= _MAX_NODES:
        current = open_nodes.pop()
        count += 1
        if isinstance(current, yaml.MappingNode):
            open_nodes.extend(value for _, value in current.value)
        elif isinstance(current, yaml.SequenceNode):
            open_nodes.extend(current.value)
    return count


def _yaml_problem(path: Path, error: yaml.YAMLError) -> FileProblem:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return FileProblem(path, mark.line + 1 if mark else 0, f"is not YAML: {problem}", mark.column + 1 if mark else 0)


def _find(node: yaml.Node, steps: Sequence[str | int]) -> yaml.Node:
    """Return the node at the end of `steps`, or the last on the way to it."""
    for step in steps:
        if isinstance(node, yaml.MappingNode):
            inner = next((value for key, value in node.value if key.value == step), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            inner = node.value[step]
        else:
            inner = None
        if inner is None:
            return node
        node = inner
    return node


def _place_of_error(node: yaml.Node, error: DefinitionError) -> tuple[int, int]:
    """Return line and column, as far as they are known."""
    source = None if error.source_at is None else _find(node, ("evaluation_config", "source"))
    if error.source_at is not None and isinstance(source, yaml.ScalarNode):
        return _place_in_code(source, *error.source_at)
    mark = _find(node, error.path).start_mark
    return int(mark.line) + 1, int(mark.column) + 1


def _place_in_code(source: yaml.ScalarNode, line: int, column: int) -> tuple[int, int]:
    """Return the line and the column of the file at which a place of a text stands.

    The column is 0 where the file has the text in another form: on several lines that YAML joins, or with escapes. Then
    the line is the text's first.
    """
    start, text = source.start_mark, source.start_mark.buffer or ""
    if source.style == "|":
        written = _line_at(text[start.pointer : source.end_mark.pointer], line + 1)
        meant = _line_at(source.value, line)
        indent = len(written) - len(meant)
        # "Unexpected end" is on the line after the last, which is another document's.
        found = min(int(start.line) + 1 + line, max(int(source.end_mark.line), 1))
        return found, indent + column if meant and written.endswith(meant) else 0
    quotes = len(source.style or "")
    if line == 1 and text.startswith(source.value, start.pointer + quotes):
        return int(start.line) + 1, int(start.column) + quotes + column
    return int(start.line) + 1, 0


def _line_at(text: str, number: int) -> str:
    """Return a line, counted from 1; an empty text behind the last."""
    return next(islice(io.StringIO(text, newline=None), number - 1, None), "").rstrip("\n")


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, so that a prompt or source can be read and edited."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out."""
        del data
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def write_definition(evaluation: Evaluation) -> str:
    """Return an evaluation as a YAML document that reads back to the same, without fields at their defaults."""
    kept = evaluation.model_dump(mode="json", include=set(EvaluationDraft.model_fields), exclude_defaults=True)
    # Types follow from the configuration, so a type at its default is not worth a line.
    for name, default in (("evaluation_type", evaluation.evaluation_type), ("output_type", "boolean")):
        if kept.get(name) == default:
            del kept[name]
    if not kept["output_config"]:
        del kept["output_config"]
    if evaluation.conditions == parse_conditions(None):
        del kept["conditions"]
    return yaml.dump({"id": evaluation.id, **kept}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def file_name(evaluation: Evaluation) -> str:
    """Return a file name that people recognise and no other evaluation has."""
    words = re.sub(r"[^a-z0-9]+", "-", evaluation.name.lower()).strip("-")[:60]
    return f"{words or 'evaluation'}-{evaluation.id[:8]}.yaml"

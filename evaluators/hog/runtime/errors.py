"""The errors of Hog programs, when they are compiled and when they run.

    HogFailure
    ├── HogCompileError               the source is not a program: line, column, excerpt with a caret
    └── HogRuntimeError               a run ended early: `kind`, line, column, excerpt
        ├── HogInputError             the input did not fit the code; the evaluation stays enabled
        │   ├── HogTypeError              kind `type_error`
        │   ├── HogKeyError               kind `key_error`
        │   ├── HogZeroDivisionError      kind `division_by_zero`
        │   └── HogJSONError              kind `bad_json`
        └── HogProgramError           the code is wrong; five in a row stop the evaluation
            ├── HogGlobalNotFound         kind `unknown_global`
            ├── HogRegexError             kind `bad_regex`
            ├── HogUncaught               kind `uncaught`
            ├── HogWrongResult            kind `wrong_result`
            ├── HogInternalError          kind `internal`
            └── HogLimitExceeded
                ├── HogStepsExceeded          kind `steps_exceeded`
                ├── HogMemoryExceeded         kind `memory_exceeded`
                ├── HogDepthExceeded          kind `depth_exceeded`
                ├── HogPrintExceeded          kind `print_exceeded`
                ├── HogArgumentsExceeded      kind `too_many_arguments`
                └── HogTimeExceeded           kind `time_exceeded`

The kinds are stable: `gavel hog run --batch` prints them. A compile error has the kind `compile_error`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from evaluators.hog.runtime.values import HogError

MAX_EXCERPT = 160
"""Characters of a source line that an excerpt shows."""


def excerpt(source: str, line: int, column: int) -> str:
    """Return the source line with a caret under the column (both 1-based), cut around the caret if long."""
    lines = source.split("\n")
    if not 1 <= line <= len(lines):
        return ""
    text = lines[line - 1].rstrip("\r")
    at = min(max(column - 1, 0), len(text))
    if len(text) > MAX_EXCERPT:
        start = max(0, at - MAX_EXCERPT // 2)
        text, at = text[start : start + MAX_EXCERPT], at - start
    lead = "".join("\t" if c == "\t" else " " for c in text[:at])
    return f"{text}\n{lead}^"


class HogFailure(Exception):
    """Root of all that a Hog source can cause. `line` and `column` are 1-based, None when unknown."""

    kind: ClassVar[str] = "error"

    def __init__(self, message: str, line: int | None = None, column: int | None = None, excerpt: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column
        self.excerpt = excerpt

    def locate(self, source: str, line: int, column: int) -> None:
        """Set the place of the failure, unless it is set already."""
        if self.line is None:
            self.line, self.column, self.excerpt = line, column, excerpt(source, line, column)

    def __str__(self) -> str:
        """`line L, column C: message`, then the source line with a caret."""
        where = f"line {self.line}, column {self.column}: " if self.line is not None else ""
        return f"{where}{self.message}" + (f"\n{self.excerpt}" if self.excerpt else "")


class HogCompileError(HogFailure):
    """The source does not follow the language."""

    kind = "compile_error"


class HogRuntimeError(HogFailure):
    """A run ended before it gave a value. `prints` holds what was printed until then."""

    kind = "runtime_error"
    prints: tuple[str, ...] = ()


class HogInputError(HogRuntimeError):
    """The input did not fit the code (skip reason `hog_input_error`)."""

    kind = "input_error"


class HogTypeError(HogInputError):
    """An operator or a function got a value of a type that it does not take."""

    kind = "type_error"


class HogKeyError(HogInputError):
    """An index or a key that cannot be: a dynamic index 0, an assignment out of range."""

    kind = "key_error"


class HogZeroDivisionError(HogInputError):
    """`/` or `%` by zero."""

    kind = "division_by_zero"

    def __init__(self, message: str = "Division by zero") -> None:
        super().__init__(message)


class HogJSONError(HogInputError):
    """A text that is not JSON."""

    kind = "bad_json"


class HogProgramError(HogRuntimeError):
    """The code is wrong, whatever the input (skip reason `hog_error`)."""

    kind = "program_error"


class HogGlobalNotFound(HogProgramError):
    """A name that is neither a variable, a global nor a function."""

    kind = "unknown_global"

    def __init__(self, name: str) -> None:
        super().__init__(f"Global variable not found: {name}")


class HogRegexError(HogProgramError):
    """A pattern that RE2 refuses."""

    kind = "bad_regex"


class HogUncaught(HogProgramError):
    """An error that Hog code threw and nothing caught. `error` is the thrown value."""

    kind = "uncaught"

    def __init__(self, message: str, error: HogError) -> None:
        super().__init__(message)
        self.error = error


class HogWrongResult(HogProgramError):
    """The program's value is not a verdict."""

    kind = "wrong_result"


class HogInternalError(HogProgramError):
    """The runtime or the library met a value that it was not written for: a defect of Gavel."""

    kind = "internal"


class HogLimitExceeded(HogProgramError):
    """A limit of the run was passed."""

    kind = "limit_exceeded"


class HogStepsExceeded(HogLimitExceeded):
    """The step budget is used up."""

    kind = "steps_exceeded"

    def __init__(self, limit: int) -> None:
        super().__init__(f"Step limit of {limit} exceeded")
        self.limit = limit


class HogMemoryExceeded(HogLimitExceeded):
    """The values of the run take more memory than they may."""

    kind = "memory_exceeded"

    def __init__(self, limit: int, message: str | None = None) -> None:
        super().__init__(message or f"Memory limit of {limit} bytes exceeded")
        self.limit = limit


class HogDepthExceeded(HogLimitExceeded):
    """Calls or values are nested too deeply."""

    kind = "depth_exceeded"


class HogPrintExceeded(HogLimitExceeded):
    """The program printed more than it may."""

    kind = "print_exceeded"

    def __init__(self, limit: int) -> None:
        super().__init__(f"Print limit of {limit} bytes exceeded")
        self.limit = limit


class HogArgumentsExceeded(HogLimitExceeded):
    """A call with more arguments than the function takes, or than any call may have."""

    kind = "too_many_arguments"


class HogTimeExceeded(HogLimitExceeded):
    """The wall-clock limit passed. The matcher moves such a run to the task topic."""

    kind = "time_exceeded"

    def __init__(self, limit_s: float, steps: int) -> None:
        super().__init__(f"Time limit of {limit_s:g} s exceeded after {steps} steps")
        self.limit_s = limit_s
        self.steps = steps


class HogThrow(Exception):
    """Carries a value that Hog code threw to the catch that takes it. Never leaves a run."""

    def __init__(self, error: HogError) -> None:
        super().__init__()
        self.error = error

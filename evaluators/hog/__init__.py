"""Hog: the language of deterministic evaluators, compiled to Python code objects.

`lexer` and `parser` make a syntax tree, `checker` resolves its names, `compiler` emits Python that calls the
functions of `operations` and of the library in `stdlib`; `runtime` holds the limits of a run. A source can
reach its globals and the library, and nothing else.
"""

from evaluators.hog.evaluator import EVALUATOR_GLOBALS, GenerationGlobals, HogEvaluator
from evaluators.hog.program import Program, Run, compile_expression, compile_program
from evaluators.hog.runtime.context import Limits
from evaluators.hog.runtime.errors import (
    HogCompileError,
    HogFailure,
    HogInputError,
    HogProgramError,
    HogRuntimeError,
    HogTimeExceeded,
)

__all__ = [
    "EVALUATOR_GLOBALS",
    "GenerationGlobals",
    "HogCompileError",
    "HogEvaluator",
    "HogFailure",
    "HogInputError",
    "HogProgramError",
    "HogRuntimeError",
    "HogTimeExceeded",
    "Limits",
    "Program",
    "Run",
    "compile_expression",
    "compile_program",
]

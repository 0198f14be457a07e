"""The names that emitted code reads: helpers, constants, variables, and functions as values."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from evaluators.hog.compiler.emit import Emitter
from evaluators.hog.compiler.types import Types
from evaluators.hog.parser.syntax import Lambda, Symbol
from evaluators.hog.runtime import access, operations
from evaluators.hog.runtime.functions import Function
from evaluators.hog.runtime.values import HogFunction


class Environment:
    """The state of one compilation. `names` collects what the emitted code gets from outside."""

    def __init__(self, emit: Emitter, types: Types, functions: dict[str, Function], *, mutates: bool) -> None:
        self.emit = emit
        self.types = types
        self.functions = functions
        self.mutates = mutates
        self.names: dict[str, Any] = {}
        self.weight = 0
        self.kept = 0
        self.held = 0
        self.in_loop = False
        self.hoisted: list[ast.stmt] = []
        self.string_globals: Sequence[str] = ()
        self._fresh = 0

    def helper(self, name: str, value: Any) -> str:
        """Give the emitted code a function or a constant, and return the name by which it reads it."""
        self.names[name] = value
        return name

    def constant(self, value: Any) -> str:
        """Give the emitted code a constant that has no literal, and return its name. One value has one name."""
        for name, known in self.names.items():
            if known is value:
                return name
        return self.helper(f"k_{len(self.names)}", value)

    def fresh(self, prefix: str) -> str:
        """Return a name that nothing else has."""
        self._fresh += 1
        return f"{prefix}_{self._fresh}"

    def ctx(self, at: int) -> ast.expr:
        """Read the context."""
        return self.emit.name(at, "ctx")

    def global_variable(self, name: str) -> str:
        """Return the variable that holds a global which is known to be a string."""
        return f"g_{name}"

    def copied(self, at: int, value: ast.expr) -> ast.expr:
        """Copy a global's value if anything in the program could change it."""
        if not self.mutates:
            return value
        return self.emit.call(at, self.helper("h_copied", access.copied), self.ctx(at), value)

    def is_plain_function(self, symbol: Symbol) -> bool:
        """Whether the emitted variable is the host's function itself, so that it can be called directly."""
        return symbol.function is not None and not symbol.assigned and not symbol.boxed

    def function_value(self, at: int, name: str, node: Lambda, code: ast.expr) -> ast.expr:
        """Emit the value that stands for a function of the host."""
        make = self.helper("h_function", HogFunction)
        return self.emit.call(at, make, self.emit.constant(at, name), self.emit.constant(at, len(node.params)), code)

    def library_value(self, name: str) -> HogFunction:
        """Return a library function as a value."""
        if name == "print":
            return HogFunction("print", None, operations.print_values, closure=False)
        function = self.functions[name]
        impl = function.impl
        code = impl if function.needs_context else lambda _context, *args: impl(*args)
        return HogFunction(name, function.max_args, code, closure=False, min_args=function.min_args)

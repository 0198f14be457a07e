"""A tree-walking interpreter of Hog, as plain as can be: what compiled programs are compared with.

It knows only what the generated programs use, takes the rules of values from the specification, and shares no
code with the compiler but the parser and the print form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from evaluators.hog.parser import syntax as s
from evaluators.hog.runtime.meter import Allowance
from evaluators.hog.runtime.text_forms import show


class NaiveError(Exception):
    """A failure of the runtime, with its kind."""


class NaiveThrow(Exception):
    def __init__(self, message: str) -> None:
        self.message = message


class NaiveReturn(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value


@dataclass
class Frame:
    parent: Frame | None
    names: dict[str, Any] = field(default_factory=dict)

    def find(self, name: str) -> dict[str, Any]:
        frame: Frame | None = self
        while frame is not None:
            if name in frame.names:
                return frame.names
            frame = frame.parent
        raise NaiveError("unknown_global")


@dataclass
class Closure:
    node: s.Lambda
    frame: Frame


def number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class Naive:
    def __init__(self, table: dict[str, Any]) -> None:
        self.table = table
        self.prints: list[str] = []

    def run(self, program: s.Block) -> Any:
        try:
            self.block(program.statements, Frame(None))
        except NaiveReturn as done:
            return done.value
        return None

    def block(self, statements: list[s.Stmt], frame: Frame) -> None:
        for node in statements:
            self.statement(node, frame)

    def statement(self, node: Any, frame: Frame) -> None:
        match node:
            case s.Let():
                frame.names[node.name] = self.value(node.value, frame)
            case s.Assign(target=s.Name()):
                value = self.value(node.value, frame)
                frame.find(node.target.name)[node.target.name] = value
            case s.Assign():
                container = self.value(node.target.object, frame)
                key = self.value(node.target.key, frame)
                self.put(container, key, self.value(node.value, frame))
            case s.If():
                if self.value(node.test, frame):
                    self.statement(node.then, Frame(frame))
                elif node.otherwise is not None:
                    self.statement(node.otherwise, Frame(frame))
            case s.While():
                while self.value(node.test, frame):
                    self.statement(node.body, Frame(frame))
            case s.For():
                inner = Frame(frame)
                self.statement(node.start, inner)
                while self.value(node.test, inner):
                    self.statement(node.body, Frame(inner))
                    self.statement(node.step, inner)
            case s.ForIn():
                collection = self.value(node.collection, frame)
                pairs = list(collection.items()) if isinstance(collection, dict) else []
                pairs = list(enumerate(collection)) if isinstance(collection, (list, tuple)) else pairs
                inner = Frame(frame)
                for key, value in pairs:
                    if node.key is not None:
                        inner.names[node.key] = key
                    inner.names[node.value] = value
                    self.statement(node.body, Frame(inner))
            case s.Fun():
                frame.names[node.name] = Closure(node.function, frame)
            case s.Return():
                raise NaiveReturn(self.value(node.value, frame))
            case s.Throw():
                raise NaiveThrow(self.value(node.value.args[0], frame))
            case s.Try():
                try:
                    self.statement(node.body, Frame(frame))
                except NaiveThrow as thrown:
                    self.statement(node.catches[0].body, Frame(frame, {node.catches[0].name or "": thrown.message}))
            case s.Block():
                self.block(node.statements, Frame(frame))
            case s.Do():
                self.value(node.value, frame)

    def put(self, container: Any, key: Any, value: Any) -> None:
        if isinstance(container, dict):
            container[key] = value
        elif isinstance(container, list) and number(key) and key == int(key):
            if not 0 < key <= len(container):
                raise NaiveError("key_error")
            container[int(key) - 1] = value
        else:
            raise NaiveError("type_error")

    def value(self, node: Any, frame: Frame) -> Any:
        match node:
            case s.Const():
                return node.value
            case s.Name():
                if node.name in self.table:
                    return self.table[node.name]
                return frame.find(node.name)[node.name]
            case s.Template():
                order = node.parts[::-1] if node.chain else node.parts
                texts = [self.text(self.value(part, frame)) for part in order]
                return "".join(texts[::-1] if node.chain else texts)
            case s.Array():
                values = [self.value(item, frame) for item in node.items]
                return tuple(values) if node.fixed else values
            case s.Object():
                return {self.value(k, frame): self.value(v, frame) for k, v in node.pairs}
            case s.Unary():
                operand = self.value(node.operand, frame)
                if node.op == "not":
                    return not operand
                if not number(operand):
                    raise NaiveError("type_error")
                return -operand
            case s.Logic():
                operands = [bool(self.value(operand, frame)) for operand in reversed(node.operands)]
                return all(operands) if node.op == "and" else any(operands)
            case s.IsNull():
                return (self.value(node.operand, frame) is None) != node.negated
            case s.Choice():
                for test, result in node.arms:
                    if self.value(test, frame):
                        return self.value(result, frame)
                return self.value(node.otherwise, frame)
            case s.Binary(op="??"):
                left = self.value(node.left, frame)
                return self.value(node.right, frame) if left is None else left
            case s.Binary():
                right = self.value(node.right, frame)
                result = self.binary(node.op, self.value(node.left, frame), right)
                return not result if node.negated else result
            case s.Get():
                return self.get(self.value(node.object, frame), self.value(node.key, frame))
            case s.Lambda():
                return Closure(node, frame)
            case s.Call():
                return self.call(node, frame)
        raise AssertionError(node)

    def call(self, node: s.Call, frame: Frame) -> Any:
        if isinstance(node.callee, s.Name) and node.callee.name == "print":
            values = [self.value(argument, frame) for argument in node.args]
            self.prints.append(" ".join(v if isinstance(v, str) else show(v, Allowance()) for v in values))
            return None
        args = [self.value(argument, frame) for argument in node.args]
        closure = self.value(node.callee, frame)
        if not isinstance(closure, Closure):
            raise NaiveError("type_error")
        params = closure.node.params
        if len(args) > len(params):
            raise NaiveError("too_many_arguments")
        names = dict.fromkeys(params) | dict(zip(params, args, strict=False))
        try:
            self.block(closure.node.body.statements, Frame(Frame(closure.frame, names)))
        except NaiveReturn as done:
            return done.value
        return None

    def text(self, value: Any) -> str:
        return "" if value is None else value if isinstance(value, str) else show(value, Allowance())

    def get(self, container: Any, key: Any) -> Any:
        if container is None:
            return None
        if isinstance(container, dict):
            if isinstance(key, (list, dict)):
                raise NaiveError("type_error")
            return container.get(key)
        if isinstance(container, (list, tuple, str)) and number(key) and key == int(key):
            if key == 0:
                raise NaiveError("key_error")
            index = int(key) - 1 if key > 0 else int(key) + len(container)
            return container[index] if 0 <= index < len(container) else None
        raise NaiveError("type_error")

    def binary(self, op: str, left: Any, right: Any) -> Any:
        if op == "==":
            return self.equal(left, right)
        if op in ("<", "<=", ">", ">="):
            return self.order(op, left, right)
        if op == "in":
            return self.within(left, right)
        if op == "+" and type(left) is type(right) and type(left) in (str, list):
            return left + right
        if not (number(left) and number(right)):
            raise NaiveError("type_error")
        if op == "%":
            if right == 0:
                raise NaiveError("division_by_zero")
            rest = abs(left) % abs(right)
            return -rest if left < 0 else rest
        return {"+": left + right, "-": left - right, "*": left * right}[op]

    def coerced(self, left: Any, right: Any) -> tuple[Any, Any]:
        return self.towards(left, right), self.towards(right, left)

    def towards(self, value: Any, other: Any) -> Any:
        """Return the value as it compares with the other."""
        if isinstance(value, str) and isinstance(other, bool):
            return {"true": True, "false": False}.get(value, value)
        if isinstance(value, bool) and number(other):
            return int(value)
        if isinstance(value, str) and number(other):
            return int(value) if value.strip("-").isdigit() else value
        return value

    def equal(self, left: Any, right: Any) -> bool:
        if left is None or right is None:
            return left is right
        left, right = self.coerced(left, right)
        return self.same(left, right)

    def same(self, left: Any, right: Any) -> bool:
        if number(left) and number(right):
            return bool(left == right)
        if type(left) is not type(right):
            return False
        if isinstance(left, (list, tuple)):
            return len(left) == len(right) and all(map(self.same, left, right))
        if isinstance(left, dict):
            return left.keys() == right.keys() and all(self.same(left[k], right[k]) for k in left)
        return bool(left == right)

    def order(self, op: str, left: Any, right: Any) -> bool:
        sign = self.sign(left, right)
        return sign is not None and _ORDERS[op](sign, 0)

    def sign(self, left: Any, right: Any) -> int | None:
        """Return -1, 0 or 1; None next to a null."""
        if left is None or right is None:
            return None
        first, second = self.coerced(left, right)
        if type(first) is type(second) and isinstance(first, (list, tuple)):
            for x, y in zip(first, second, strict=False):
                sign = self.sign(x, y)
                if sign != 0:
                    return sign
            first, second = len(first), len(second)
        same_kind = type(first) is type(second) and type(first) in (str, bool)
        if not (same_kind or (number(first) and number(second))):
            raise NaiveError("type_error")
        return int(first > second) - int(first < second)

    def within(self, left: Any, right: Any) -> bool:
        if isinstance(right, (list, tuple)):
            return any(self.same(left, item) for item in right)
        if isinstance(right, str) and isinstance(left, str):
            return left in right
        if isinstance(right, dict) and not isinstance(left, (list, dict)):
            return left in right
        raise NaiveError("type_error")


_ORDERS = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}

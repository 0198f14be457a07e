"""Whatever a library function is called with: a Hog value or one of Hog's own errors comes of it, and no more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluators.hog.runtime.context import Limits
from evaluators.hog.runtime.errors import HogInternalError, HogLimitExceeded, HogRuntimeError
from evaluators.hog.runtime.values import HogDate, HogDateTime, HogError, HogInterval, Value, type_name
from evaluators.hog.stdlib import FUNCTIONS
from tests.unit.evaluators.hog.stdlib.calls import as_value, call, context, room_of_a_run

SMALL = Limits(steps=200_000, memory_bytes=1_000_000)
UNITS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year", "eon", "")
TEXTS = (
    "", " ", "a", "A", "%", "_", "%a%", "a_b", "(", "[", "\\", "(a)|b", "\\d+", ".*", "a" * 300, "é", "ß", "İ", "😀",
    "\x00", "\ud800", "1", "-1", "1.5", "1e400", "nan", "inf", "true", "null", "[]", "{}", "[[[[", '"\\ud800"',
    '{"a": [1, {"b": null}]}', "aGk=", "*", "%zz", "%ff", "a%20b", "2024-02-29", "2024-02-30", "0001-01-01",
    "9999-12-31", "0000-01-01", "2024-03-31T02:30:00", "2024-01-01T00:00:00+23:59", "2024-01-01 25:00", "UTC",
    "Europe/Berlin", "../etc/passwd", "/etc/localtime", "%Y-%m-%d", "%" * 20, "hex", "base64", "binary", "1.2.3",
    "10.0.0.0/8", "10.0.0.1", "::1", "a.b",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 7, 300, -(10**9), 10**9, 2**63, -(2**63), 10**30, 10**400, 0.0, -0.0, 0.5, -1.5, 2.0, 1e15, 1e300,
    -1e300, 5e-324, float("inf"), float("-inf"), float("nan"), 253402300800, -62135596800,
)  # fmt: skip
SPECIAL = (
    HogDate(2024, 2, 29), HogDate(1, 1, 1), HogDate(9999, 12, 31),
    HogDateTime(0.0), HogDateTime(1_709_164_800.5, "Europe/Berlin"), HogDateTime(-62135596800.0),
    HogDateTime(253402300799.0, "Asia/Tokyo"),
    HogDateTime(1e300), HogDateTime(float("nan")), HogInterval(2, "day"), HogInterval(1.5, "month"),
    HogError("Error", "m", [1]), as_value("lower"), as_value("typeof"), as_value("tuple"), as_value("print"),
)  # fmt: skip


def _cyclic() -> list[Value]:
    array: list[Value] = [1]
    array.append({"self": array})
    return array


def _deep(levels: int) -> Value:
    value: Value = []
    for _ in range(levels):
        value = [value]
    return value


def _doubled(levels: int) -> Value:
    """An array that a hundred bytes describe and a gigabyte writes down."""
    value: Value = ["x"]
    for _ in range(levels):
        value = [value, value]
    return value


leaves = (
    st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.integers() | st.floats() | st.sampled_from(TEXTS)
    | st.sampled_from(UNITS) | st.text(max_size=12) | st.sampled_from(SPECIAL)
)  # fmt: skip
nested = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.sampled_from(("a", "b", "type")), inner, max_size=3)
    ),
    max_leaves=8,
)
values = leaves | nested | st.builds(_cyclic) | st.sampled_from((3, 450, 5000)).map(_deep)


def _assert_hog_value(value: Any, levels: int = 6) -> None:
    assert type_name(value) != "unknown", f"{type(value)} is not a Hog value"
    if levels and isinstance(value, list | tuple):
        for inner in value[:50]:
            _assert_hog_value(inner, levels - 1)
    elif levels and isinstance(value, dict):
        for key, inner in list(value.items())[:50]:
            _assert_hog_value(key, levels - 1)
            _assert_hog_value(inner, levels - 1)


def _outcome(name: str, args: list[Value]) -> Value | HogRuntimeError:
    """Return the value of a call, or the error of Hog that came instead."""
    try:
        return call(name, *args, ctx=context(SMALL))
    except HogRuntimeError as error:
        return error


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@settings(max_examples=25, deadline=timedelta(seconds=5), suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_only_values_and_errors_of_hog_come_out(name: str, data: st.DataObject) -> None:
    """Every function, every number of arguments that it takes, every type and edge: no error of the host escapes."""
    function = FUNCTIONS[name]
    most = function.max_args if function.max_args is not None else function.min_args + 3
    args = data.draw(st.lists(values, min_size=function.min_args, max_size=most))
    with room_of_a_run():
        outcome = _outcome(name, args)
    if isinstance(outcome, HogRuntimeError):
        assert not isinstance(outcome, HogInternalError)
        assert outcome.message
    else:
        _assert_hog_value(outcome)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@settings(max_examples=10, deadline=timedelta(seconds=5), suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_function_changes_its_arguments_or_gives_two_answers(name: str, data: st.DataObject) -> None:
    """Arguments stay as they were, and the same call in another run of the event gives the same."""
    function = FUNCTIONS[name]
    most = function.max_args if function.max_args is not None else function.min_args + 2
    args = data.draw(st.lists(nested, min_size=function.min_args, max_size=most))
    before = repr(args)
    first, again = _outcome(name, args), _outcome(name, args)
    assert repr(args) == before
    assert repr(first) == repr(again) or isinstance(first, HogError)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("range", (10**12,)),
        ("range", (-(10**30), 10**30)),
        ("replaceAll", ("a" * 10_000, "a", "b" * 10_000)),
        ("replaceAll", ("a" * 100_000, "", "b" * 1000)),
        ("concat", ("x" * 400_000,) * 300),
        ("arrayStringConcat", (["a"] * 10_000, "s" * 10_000)),
        ("splitByString", ("", "é" * 900_000)),
        ("base64Encode", ("😀" * 900_000,)),
        ("encodeURLComponent", ("é" * 900_000,)),
        ("jsonParse", ("[" + "{}," * 300_000 + "{}]",)),
        ("jsonStringify", (_doubled(40),)),
        ("toString", (_doubled(40),)),
        ("concat", ("x", _doubled(40))),
        ("arrayStringConcat", (_doubled(40),)),
        ("position", ("x", _doubled(40))),
        ("print", (_doubled(40),)),
        ("Error", (_doubled(40),)),
        ("formatDateTime", ("2024-01-01", "%W" * 500_000)),
        ("arrayPushBack", ([1] * 900_000, 1)),
        ("values", ({n: n for n in range(300_000)},)),
        ("reverse", ("é" * 900_000,)),
        ("lower", ("x" * 2_000_000,)),
        ("arrayMap", (as_value("typeof"), [0] * 900_000)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_grows_ends_at_the_memory_limit_before_it_is_made(name: str, args: tuple[Value, ...]) -> None:
    """Results that would pass the limit are refused, and soon."""
    ctx = context(SMALL)
    with pytest.raises(HogLimitExceeded):
        call(name, *args, ctx=ctx)


def test_a_chain_of_many_hmacs_uses_up_the_steps() -> None:
    """A long list costs steps for each of its elements."""
    with pytest.raises(HogLimitExceeded):
        call("sha256HmacChain", ["k"] * 200_000, ctx=context(SMALL))


@pytest.mark.parametrize("levels", [1000, 5000, 200_000])
def test_json_nested_too_deeply_is_an_error_of_hog_at_any_depth_of_the_stack(levels: int) -> None:
    """Up to 1024 levels are read, more are not JSON: neither crashes the process, however little stack is left."""

    def nested_call(frames: int) -> Value:
        return nested_call(frames - 1) if frames else call("isValidJSON", "[" * levels + "]" * levels)

    for frames in (0, 600):
        assert nested_call(frames) is (levels <= 1024)


def test_a_cycle_is_written_as_null() -> None:
    """As PostHog writes it: the second meeting of an object within itself is null."""
    assert call("jsonStringify", _cyclic()) == '[1, {"self": null}]'


def test_ids_follow_from_the_event_and_differ_within_a_run() -> None:
    """A replay gives the same ids in the same order; another event gives others."""
    ctx, replay = context(), context()
    first, second = call("generateUUIDv4", ctx=ctx), call("generateUUIDv4", ctx=ctx)
    assert first != second
    assert [call("generateUUIDv4", ctx=replay) for _ in range(2)] == [first, second]
    assert call("generateUUIDv4", ctx=context(seed="event-2")) != first

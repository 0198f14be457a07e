"""The library has the functions of the specification, and `data/stdlib_*.yaml` has cases of every one.

The cases themselves are run with the rest of the conformance set.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from evaluators.hog.runtime.functions import Function
from evaluators.hog.stdlib import FUNCTIONS, _merged

DATA = Path(__file__).parents[1] / "data"
CASES: list[dict[str, Any]] = [
    case for path in sorted(DATA.glob("stdlib_*.yaml")) for case in yaml.safe_load(path.read_text("utf-8"))
]

ARITIES = """
concat 1+, length 1, lower 1, upper 1, reverse 1, trim 1-2, trimLeft 1-2, trimRight 1-2, splitByString 2-3,
replaceOne 3, replaceAll 3, position 2-3, positionCaseInsensitive 2-3, substring 2-3, startsWith 2, like 2, ilike 2,
notLike 2, notILike 2, match 2, extractRegex 2, multiSearchAnyCaseInsensitive 2, base64Encode 1, base64Decode 1,
tryBase64Decode 1, encodeURLComponent 1, decodeURLComponent 1, tryDecodeURLComponent 1, generateUUIDv4 0,
toString 1-2, toUUID 1, toInt 1, toFloat 1, typeof 1, ifNull 2, isNull 1, isNotNull 1, coalesce 1+, assumeNotNull 1,
empty 1, notEmpty 1, jsonParse 1, isValidJSON 1, jsonStringify 1-2, JSONHas 1+, JSONLength 1+, JSONExtract 2+,
JSONExtractString 1+, JSONExtractInt 1+, JSONExtractFloat 1+, JSONExtractBool 1+, JSONExtractArrayRaw 1+, keys 1,
values 1, has 2, in 2, indexOf 2, arrayPushBack 2, arrayPushFront 2, arrayPopBack 1, arrayPopFront 1, arraySort 1+,
arrayReverseSort 1+, arrayReverse 1, arrayStringConcat 1-2, range 1-2, tuple 0+, arrayMap 2, arrayFilter 2,
arrayExists 2, arrayCount 2, arrayReduce 3, round 1-2, floor 1-2, ceil 1, abs 1, min2 2, max2 2, plus 2, minus 2,
equals 2, notEquals 2, greater 2, greaterOrEquals 2, less 2, lessOrEquals 2, not 1, and 1+, or 1+, if 3, multiIf 3+,
now 0-1, today 0, toDate 1, toDateTime 1-2, toUnixTimestamp 1-2, toUnixTimestampMilli 1-2, fromUnixTimestamp 1,
fromUnixTimestampMilli 1, toTimeZone 2, formatDateTime 2-3, dateAdd 3, dateDiff 3, dateTrunc 2-3, addDays 2,
toIntervalDay 1, toIntervalHour 1, toIntervalMinute 1, toIntervalMonth 1, toYear 1, toMonth 1, toYYYYMM 1,
toStartOfDay 1-2, toStartOfHour 1, toStartOfWeek 1-2, toStartOfMonth 1, extract 2, md5 1-2, md5Hex 1, sha1 1-2,
sha1Hex 1, sha256 1-2, sha256Hex 1, sha1HmacChain 1-2, sha1HmacChainHex 1, sha256HmacChain 1-2, sha256HmacChainHex 1,
sortableSemver 1, isIPAddressInRange 2, Error 0-2, HogError 1-3, RetryError 0-2, NotImplementedError 0-2, print 0+
"""


def test_the_library_is_the_specification_s_list() -> None:
    """Every function of the list is there with its number of arguments, and none that is not on it."""
    wanted: dict[str, tuple[int, int | None]] = {}
    for entry in ARITIES.replace("\n", " ").strip().split(", "):
        name, arity = entry.split()
        low, _, high = arity.rstrip("+").partition("-")
        wanted[name] = (int(low), None if arity.endswith("+") else int(high or low))
    assert {name: (each.min_args, each.max_args) for name, each in FUNCTIONS.items()} == wanted


@pytest.mark.parametrize("name", ["sleep", "fetch", "run", "import", "randomFloat"])
def test_what_would_block_reach_out_or_vary_is_not_there(name: str) -> None:
    """A verdict is a function of the event: these functions of PostHog do not exist here."""
    assert name not in FUNCTIONS


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_each_function_has_cases(name: str) -> None:
    """A value of every function was seen; of those with arguments also what null gives."""
    calls = [case for case in CASES if re.match(rf".*\b{name}\(", case["name"])]
    assert any("result" in case for case in calls)
    if FUNCTIONS[name].max_args != 0:
        assert any("null" in case["name"] for case in calls)


def test_there_are_as_many_cases_as_promised_each_with_a_name_of_its_own() -> None:
    """There are at least 350 cases, none of them twice."""
    names = [case["name"] for case in CASES]
    assert len(names) >= 350
    assert len(names) == len(set(names))


def test_a_function_that_two_families_define_is_refused() -> None:
    """Otherwise the family that is merged last would decide what a name does."""
    one = Function(len, 1, 1)
    with pytest.raises(ValueError, match="defined twice: length, trim"):
        _merged({"length": one, "trim": one, "lower": one}, {"trim": one, "length": one})
    assert _merged({"a": one}, {"b": one}) == {"a": one, "b": one}

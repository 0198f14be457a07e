"""Without the extra the room still loads and computes what needs only Python, and says what is missing for the rest."""

from __future__ import annotations

import subprocess
import sys

from tests.services.cache import CHECKOUT

WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"numpy", "scipy", "sklearn"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""

TRY = """
from quality.compute import compute
from quality.extra import ExtraMissing

def seen(kind, **given):
    try:
        compute({"kind": kind, "input": given})
        return "computed"
    except ExtraMissing as error:
        return f"{error.package}: {error}"

print(seen("agreement", tp=85, fn=7, fp=5, tn=23))
print(seen("post_stratified", judged=2000, judged_pass=1640, labelled_pass=60, labelled_pass_true=57, labelled_fail=60,
           labelled_fail_true=15))
print(seen("drift", anchors=30, null_rate=0.05, flips=[1, 2]))
print(seen("interval", successes=3, trials=10))
print(seen("interval", successes=3, trials=10, method="clopper_pearson"))
print(seen("paired", a=[1, 2], b=[2, 3]))
print(seen("ppi", labelled_human=[1, 2], labelled_judge=[1, 2], unlabelled_judge=[1]))
"""


def run(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_what_works_without_the_extra_and_what_names_it() -> None:
    lines = run(WITHOUT + TRY)
    assert lines[:4] == ["computed"] * 4
    needs = "is not installed, and this statistic needs it; run pip install 'gavel[quality]'"
    assert lines[4] == f"scipy: scipy {needs}"
    assert lines[5:] == [f"numpy: numpy {needs}"] * 2


def test_loading_the_room_loads_none_of_the_heavy_packages() -> None:
    code = "import sys, quality.compute; print({'numpy', 'scipy', 'sklearn'} & set(sys.modules))"
    assert run(code) == ["set()"]

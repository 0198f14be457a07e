"""The table of refusals: how providers word what went wrong, and which kind of failure each wording is.

The first rule that applies decides. A rule applies if its status does and one of its signs is there: a code, a
parameter or words. A rule without signs applies by its status alone. Every rule carries its evidence, an example that a
provider sends, and a test holds it to that. To teach Gavel another wording, add it to a rule with its example.

The order is the meaning of the table. A quota borrows the statuses of the key and of the rate limit, so that it stands
before both. A limit of the pace counts tokens as a context does, so that it stands before the context.
"""

from __future__ import annotations

from evaluators.llm_judge.refusals.account import KEY, QUOTA, RIGHTS
from evaluators.llm_judge.refusals.form import FORM
from evaluators.llm_judge.refusals.passing import PACE, PASSING
from evaluators.llm_judge.refusals.place import PLACE
from evaluators.llm_judge.refusals.rule import RefusalRule
from evaluators.llm_judge.refusals.size import ANSWER, CONTEXT, TOO_LARGE
from evaluators.llm_judge.refusals.text import TEXT

RULES: tuple[RefusalRule, ...] = (
    *QUOTA, *KEY, *TEXT, *TOO_LARGE, *PACE, *ANSWER, *CONTEXT, *FORM, *PLACE, *PASSING, *RIGHTS,
)  # fmt: skip

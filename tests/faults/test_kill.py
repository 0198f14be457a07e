"""`kill -9` of the roles, at each step of their work and in the middle of the stream (delivery.md, item 1)."""

from __future__ import annotations

import pytest

from tests.faults.pipeline import ROLES, Pipeline

NTH = {"after_poll": 2, "mid_evaluation": 25, "after_produce": 2, "mid_insert": 2, "after_commit": 2}
"""At which time a role comes to the step it dies: with work behind it and work in hand."""


@pytest.mark.parametrize("step", NTH)
def test_killed_at_a_step_every_result_is_there_once(gavel: Pipeline, step: str) -> None:
    """All roles that take the step die in it, at the same stretch of the stream."""
    roles = ("sink",) if step == "mid_insert" else ROLES
    died = {name: len(gavel.processes[name].exits) for name in ROLES}
    for role in roles:
        few = role == "judge" or (role == "sink" and step == "mid_evaluation")
        gavel.arm(role, step, min(NTH[step], 3) if few else NTH[step])
    gavel.send(200, over_s=3.0)
    gavel.wait(lambda: all(len(gavel.processes[name].exits) > died[name] for name in roles), f"all died {step}")
    for name in roles:
        assert gavel.processes[name].exits[died[name]].code == -9
    gavel.check()


def test_the_main_job_survives_kill_9_of_each_role_in_the_middle_of_the_stream(gavel: Pipeline) -> None:
    """The roles are killed one after the other at moments that nothing chose, while events keep coming."""
    died = {name: len(gavel.processes[name].exits) for name in ROLES}
    for role in ROLES:
        gavel.send(60, over_s=1.0)
        gavel.processes[role].kill()
        gavel.send(60, over_s=1.0)
    gavel.check()
    for role in ROLES:
        assert [each.code for each in gavel.processes[role].exits[died[role] :]] == [-9]

"""Budgets, trials and provider keys in the store: exact on SQLite and PostgreSQL, whatever happens at the same time."""

from __future__ import annotations

import multiprocessing
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from config.definitions import parse_draft
from config.secrets import NoSecretKeys, SecretBox, UndecipherableSecret, mask
from evaluators.llm_judge.budget import (
    Amount,
    BudgetBusy,
    BudgetReservation,
    BudgetScope,
    OverBudget,
    period_end,
    period_start,
)
from storage.sql.budgets import Budgets
from storage.sql.engine import Database, open_database
from storage.sql.evaluations import Evaluations
from storage.sql.provider_keys import KeyNotFound, KeyNotUsable, KeyStaysAtItsAddress, NewKey, ProviderKeys
from storage.sql.revision import read_revision
from tests.services.waiting import PATIENCE_S

NOW = datetime(2026, 3, 4, 15, 30, tzinfo=UTC)
EVALUATION = BudgetScope(owner="evaluation:e", period="day", tokens=10_000)
TEAM = BudgetScope(owner="team:1", period="month", tokens=15_000, micro_usd=9_000)


def keys(database: Database, *secrets: str, trial_eval_limit: int = 100) -> ProviderKeys:
    chosen = secrets or (Fernet.generate_key().decode(),)
    box = SecretBox([SecretStr(each) for each in chosen])
    return ProviderKeys(database, box, trial_eval_limit=trial_eval_limit)


def add(repository: ProviderKeys, team: int = 1, **fields: Any) -> Any:
    values: dict[str, Any] = {"provider": "openai", "name": "k", "state": "ok", **fields}
    active = values.pop("set_as_active", False)
    key = NewKey(api_key=SecretStr("sk-abcdef0123456789"), **values)
    return repository.create(team, key, actor="t", now=NOW, set_as_active=active)


# -- budgets ------------------------------------------------------------------------------------------------


def spend(budgets: Budgets, seed: int, runs: int) -> Counter[str]:
    """Reserve and settle as runs do, some of them using less than they reserved."""
    chance = random.Random(seed)
    found: Counter[str] = Counter()
    for _ in range(runs):
        amount = Amount(chance.randint(50, 400), chance.randint(10, 200))
        try:
            reservation = budgets.reserve([EVALUATION, TEAM], amount, NOW)
        except OverBudget:
            found["over"] += 1
            continue
        except BudgetBusy:
            found["busy"] += 1
            continue
        used = Amount(chance.randint(0, amount.tokens), chance.randint(0, amount.micro_usd))
        budgets.settle(reservation, used)
        found["tokens"] += used.tokens
        found["micro_usd"] += used.micro_usd
    return found


def _spend_in_a_process(dsn: str, seed: int, answers: Any) -> None:
    database = open_database(dsn)
    answers.put(spend(Budgets(database), seed, 60))
    database.close()


def test_budgets_are_exact_over_processes_and_never_exceeded(dsn: str, database: Database) -> None:
    context = multiprocessing.get_context("spawn")
    answers: Any = context.Queue()
    workers = [context.Process(target=_spend_in_a_process, args=(dsn, seed, answers)) for seed in range(3)]
    for worker in workers:
        worker.start()
    total: Counter[str] = sum((answers.get(timeout=PATIENCE_S) for _ in workers), Counter())
    for worker in workers:
        worker.join(PATIENCE_S)
    budgets = Budgets(database)
    for scope in (EVALUATION, TEAM):
        usage = budgets.usage(scope, NOW)
        assert (usage.tokens, usage.micro_usd) == (total["tokens"], total["micro_usd"])
        assert (usage.reserved_tokens, usage.reserved_micro_usd) == (0, 0)
        assert scope.tokens is None or usage.tokens <= scope.tokens
        assert scope.micro_usd is None or usage.micro_usd <= scope.micro_usd
    assert total["over"] > 0


def test_threads_that_reserve_the_last_of_a_budget_do_not_both_get_it(database: Database) -> None:
    budgets = Budgets(database)
    barrier = threading.Barrier(4)

    def take(_: int) -> bool:
        barrier.wait(PATIENCE_S)
        try:
            budgets.reserve([EVALUATION], Amount(6_000, 0), NOW)
        except BudgetBusy:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(take, range(4))) == 1


def test_a_reservation_is_made_in_every_scope_or_in_none(database: Database) -> None:
    budgets = Budgets(database)
    with pytest.raises(OverBudget) as refused:
        budgets.reserve([EVALUATION, TEAM], Amount(9_000, 9_001), NOW)
    assert refused.value.scope == TEAM
    assert refused.value.resumes_at == datetime(2026, 4, 1, tzinfo=UTC)
    assert budgets.usage(EVALUATION, NOW).reserved_tokens == 0


def test_a_crashed_processs_reservations_come_back(database: Database) -> None:
    budgets = Budgets(database)
    lost = budgets.reserve([EVALUATION], Amount(9_000, 0), NOW)
    with pytest.raises(BudgetBusy):
        budgets.reserve([EVALUATION], Amount(2_000, 0), NOW + timedelta(minutes=10))
    later = NOW + timedelta(minutes=16)
    budgets.settle(budgets.reserve([EVALUATION], Amount(2_000, 0), later), Amount(1_500, 0))
    # It was not dead after all, only slow: its use counts, and its reservation is not freed twice.
    budgets.settle(lost, Amount(700, 0))
    usage = budgets.usage(EVALUATION, NOW)
    assert (usage.tokens, usage.reserved_tokens) == (2_200, 0)


def test_settling_twice_frees_once(database: Database) -> None:
    budgets = Budgets(database)
    reservation = budgets.reserve([EVALUATION], Amount(1_000, 0), NOW)
    budgets.settle(reservation, Amount(0, 0))
    budgets.settle(reservation, Amount(0, 0))
    assert budgets.usage(EVALUATION, NOW).reserved_tokens == 0


def test_a_run_over_midnight_is_counted_where_it_began(database: Database) -> None:
    budgets = Budgets(database)
    before = datetime(2026, 3, 4, 23, 59, 59, tzinfo=UTC)
    reservation: BudgetReservation = budgets.reserve([EVALUATION], Amount(1_000, 0), before)
    after = before + timedelta(seconds=2)
    budgets.settle(reservation, Amount(800, 0))
    assert budgets.usage(EVALUATION, before).tokens == 800
    assert budgets.usage(EVALUATION, after).tokens == 0


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("day", datetime(2026, 3, 4, tzinfo=UTC), datetime(2026, 3, 5, tzinfo=UTC)),
        ("week", datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC)),
        ("month", datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)),
    ],
)
def test_periods_begin_at_midnight_on_monday_and_on_the_first_in_utc(
    period: Any, start: datetime, end: datetime
) -> None:
    assert period_start(period, NOW) == start
    assert period_end(period, NOW) == end
    assert period_end("month", datetime(2026, 12, 31, 23, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)


def test_skipped_runs_are_remembered_as_one_range_per_period(database: Database) -> None:
    budgets = Budgets(database)
    for minutes in (5, 0, 9):
        budgets.note_skip(1, "e", EVALUATION, NOW + timedelta(minutes=minutes), now=NOW)
    budgets.note_skip(1, "e", EVALUATION, NOW + timedelta(days=1), now=NOW + timedelta(days=1), runs=4)
    budgets.note_skip(2, "e2", EVALUATION, NOW, now=NOW)
    tomorrow, today = budgets.skips(1)
    assert (today.runs, today.first_event_at, today.last_event_at) == (3, NOW, NOW + timedelta(minutes=9))
    assert tomorrow.runs == 4


# -- the trial and keys -------------------------------------------------------------------------------------


def test_a_range_that_grew_while_it_was_filled_is_not_forgotten(database: Database) -> None:
    budgets = Budgets(database)
    budgets.note_skip(1, "e", EVALUATION, NOW, now=NOW)
    budgets.note_skip(1, "other", EVALUATION, NOW, now=NOW)
    known = budgets.ranges_over_budget("e")
    budgets.note_skip(1, "e", EVALUATION, NOW, now=NOW + timedelta(seconds=1))
    budgets.forget_skips(known)
    (grown,) = budgets.ranges_over_budget("e")
    assert grown.runs == 2
    budgets.forget_skips([grown])
    assert budgets.ranges_over_budget("e") == []
    assert len(budgets.ranges_over_budget("other")) == 1


def test_the_trial_is_exact_for_runs_at_the_same_time(database: Database) -> None:
    repository = keys(database, trial_eval_limit=7)
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda _: repository.take_trial(1, now=NOW), range(20)))
    assert sum(taken) == 7
    repository.give_back_trial(1)
    config = repository.config(1, now=NOW)
    assert (config.trial_evals_used, config.trial_evals_remaining) == (6, 1)


def test_a_key_is_encrypted_masked_and_another_teams_is_not_there(database: Database) -> None:
    repository = keys(database)
    key = add(repository)
    assert key.api_key_masked == "****", "a short key shows none of its characters"
    with database.read() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM provider_keys").all()
    assert "abcdef" not in repr(rows) + repr(repository.open(1, key.id)) + repr(repository.open_all())
    opened = repository.open(1, key.id).api_key
    assert opened is not None
    assert opened.get_secret_value() == "sk-abcdef0123456789"
    for call in (repository.get, repository.open):
        with pytest.raises(KeyNotFound):
            call(2, key.id)
    with pytest.raises(KeyNotFound):
        repository.delete(2, key.id, actor="t", now=NOW)


def test_every_change_of_a_key_is_seen_by_who_polls_the_revision(database: Database) -> None:
    repository = keys(database)

    def revision() -> int:
        with database.read() as connection:
            return read_revision(connection).number

    seen = [revision()]
    key = add(repository)
    seen.append(revision())
    repository.set_active_key(1, key.id, actor="me", now=NOW)
    seen.append(revision())
    repository.set_state(1, key.id, "invalid", error_message="no", now=NOW)
    seen.append(revision())
    repository.set_team_budget(1, {"usd": 5, "tokens": None, "period": "day"}, actor="t", now=NOW)
    seen.append(revision())
    repository.delete(1, key.id, actor=None, now=NOW)
    seen.append(revision())
    assert seen == sorted(set(seen))
    repository.touch([key.id], NOW)
    repository.set_state(1, key.id, "ok", error_message=None, now=NOW)
    assert revision() == seen[-1]
    assert repository.config(1, now=NOW).active_provider_key_id is None


def judge_of(database: Database, key_id: str, **fields: Any) -> str:
    model = {"provider": "openai", "model": "m", "provider_key_id": key_id}
    config = {"evaluation_type": "llm_judge", "evaluation_config": {"prompt": "p"}, "model_configuration": model}
    draft = parse_draft({"name": "j", **config, **fields})
    return Evaluations(database).create(1, draft, actor="t", now=NOW).id


def test_deleting_a_key_and_stopping_its_evaluations_is_one_change_or_none(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, evaluations = keys(database), Evaluations(database)
    key = add(repository, set_as_active=True)
    running = judge_of(database, key.id, enabled=True)

    def crash(*_: Any) -> None:
        raise RuntimeError("the process dies here")

    with monkeypatch.context() as patch:
        patch.setattr("storage.sql.provider_keys.bump", crash)  # the last statement of the change
        with pytest.raises(RuntimeError, match="dies here"):
            repository.delete(1, key.id, actor="t", now=NOW)
    assert repository.get(1, key.id).state == "ok"
    assert repository.config(1, now=NOW).active_provider_key_id == key.id
    assert evaluations.get(1, running).status == "active"
    repository.delete(1, key.id, actor="t", now=NOW)
    assert evaluations.get(1, running).status_reason == "provider_key_deleted"


def test_a_key_moves_to_another_address_only_with_its_secret(database: Database) -> None:
    repository = keys(database)
    key = add(repository, provider="custom", base_url="http://here.test/v1")
    for change in ({"base_url": "http://there.test/v1"}, {"azure_endpoint": "http://there.test"}, {"base_url": None}):
        with pytest.raises(KeyStaysAtItsAddress):
            repository.update(1, key.id, change, now=NOW)
    assert repository.get(1, key.id) == key
    same = {"base_url": "http://here.test/v1", "name": "renamed"}
    assert repository.update(1, key.id, same, now=NOW).name == "renamed"
    moved = {"base_url": "http://there.test/v1"}
    assert repository.update(1, key.id, moved, api_key=SecretStr("sk-new"), now=NOW).base_url == moved["base_url"]


def test_only_a_working_key_can_be_active(database: Database) -> None:
    repository = keys(database)
    key = add(repository, state="unknown")
    with pytest.raises(KeyNotUsable):
        repository.set_active_key(1, key.id, actor="me", now=NOW)
    with pytest.raises(KeyNotUsable):
        add(repository, state="error", set_as_active=True)
    assert repository.page(1).count == 1


def test_secret_keys_can_be_rotated_and_a_lost_one_is_told() -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    sealed = SecretBox([SecretStr(old)]).seal(SecretStr("sk-1"))
    rotated = SecretBox([SecretStr(new), SecretStr(old)]).reseal(sealed)
    assert SecretBox([SecretStr(new)]).open(rotated).get_secret_value() == "sk-1"
    with pytest.raises(UndecipherableSecret):
        SecretBox([SecretStr(new)]).open(sealed)
    with pytest.raises(NoSecretKeys):
        SecretBox([]).seal(SecretStr("sk-1"))
    assert mask(SecretStr("short")) == "****"


def test_a_key_that_cannot_be_decrypted_does_not_hide_the_others(database: Database) -> None:
    add(keys(database))
    repository = keys(database)
    add(repository)
    assert sorted(each.api_key is None for each in repository.open_all()) == [False, True]

"""Runs `gavel` so that it can be killed at an exact step: `python -m tests.faults.doomed FOLDER run --role matcher`.

The role dies by SIGKILL when `FOLDER/<role>` names a step and how many times it may still be taken. Nothing in Gavel
knows of this; the methods are replaced here. `STEPS` says what each step is.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

import processor.stream.committer
import processor.stream.transactions
from cli.main import main
from evaluators.hog import HogEvaluator
from processor.sink.insert import Inserter
from processor.sink.worker import SinkWorker
from processor.stream.intake import Intake
from processor.stream.offsets import OffsetConsumer

STEPS = {
    "after_poll": "records were read, nothing was done with them",
    "mid_evaluation": "Hog ran, the provider answered, or the sink decoded: for some records of a batch",
    "after_produce": "outputs are at the broker in an open transaction; for the sink: the batch is in ClickHouse",
    "mid_insert": "the insert is on its way to ClickHouse (the sink alone)",
    "after_commit": "the commit is done and nobody was told",
    "after_claim": "a run of a report was claimed (this step and those below: the reports role)",
    "after_generation": "a report is stored with its run, and nothing was delivered",
    "before_send": "a delivery is noted as begun, and its message has not left",
    "after_send": "the receiver has the message, and nothing is noted",
}


class Doom:
    """Counts the steps of one process down."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._left: int | None = None

    def step(self, name: str) -> bool:
        """Return whether the process must die now, in the step `name`."""
        try:
            armed, _, count = self._file.read_text().partition(":")
        except FileNotFoundError:
            return False
        if armed != name:
            return False
        self._left = int(count) - 1 if self._left is None else self._left - 1
        return self._left <= 0

    def disarm(self) -> None:
        """Let the next process of the role live."""
        self._file.unlink(missing_ok=True)

    def die(self) -> None:
        """End as `kill -9` does, once."""
        self.disarm()
        os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, doom: Doom, step: str) -> None:
    """Die before `owner.name` does anything."""
    real = getattr(owner, name)

    def replaced(*arguments: Any, **named: Any) -> Any:
        if doom.step(step):
            doom.die()
        return real(*arguments, **named)

    setattr(owner, name, replaced)


def after(owner: Any, name: str, doom: Doom, step: str) -> None:
    """Die when `owner.name` has done its work and nobody has its answer."""
    real = getattr(owner, name)

    def replaced(*arguments: Any, **named: Any) -> Any:
        found = real(*arguments, **named)
        if doom.step(step):
            doom.die()
        return found

    setattr(owner, name, replaced)


def hang(owner: Any, name: str, doom: Doom, step: str) -> None:
    """Never come back from `owner.name`."""
    real = getattr(owner, name)

    def replaced(*arguments: Any, **named: Any) -> Any:
        if doom.step(step):
            doom.disarm()
            time.sleep(3600)
        return real(*arguments, **named)

    setattr(owner, name, replaced)


def after_call(doom: Doom) -> None:
    """Die when the provider has answered: a call that was paid for and whose verdict is lost."""
    from evaluators.llm_judge.openai_caller import OpenAICaller  # a second of loading that the other roles are spared

    real = OpenAICaller.complete

    async def replaced(*arguments: Any, **named: Any) -> Any:
        found = await real(*arguments, **named)
        if doom.step("mid_evaluation"):
            doom.die()
        return found

    OpenAICaller.complete = replaced  # the point of this module


def during_insert(doom: Doom) -> None:
    """Die while the insert is on its way."""
    real: Callable[..., None] = Inserter._send

    def replaced(*arguments: Any) -> None:
        if doom.step("mid_insert"):
            threading.Thread(target=real, args=arguments, daemon=True).start()
            time.sleep(0.004)
            doom.die()
        real(*arguments)

    Inserter._send = replaced  # the point of this module


def doomed_producer(doom: Doom) -> type[Producer]:
    """Return a producer that dies around a transaction's commit."""

    class DoomedProducer(Producer):
        def commit_transaction(self, *arguments: Any) -> None:
            if doom.step("after_produce"):
                self.flush(10)  # all outputs are at the broker, and nobody may ever see them
                doom.die()
            super().commit_transaction(*arguments)
            if doom.step("after_commit"):
                doom.die()

    return DoomedProducer


def install_in_reports(doom: Doom) -> None:
    """Put the steps of the reports role in place."""
    from storage.sql.evaluation_report_runs import ReportRuns

    claim = ReportRuns.claim

    def claimed(*arguments: Any, **named: Any) -> Any:
        run = claim(*arguments, **named)
        if run is not None and doom.step("after_claim"):
            doom.die()
        return run

    ReportRuns.claim = claimed  # the point of this module
    after(ReportRuns, "store_content", doom, "after_generation")
    after(ReportRuns, "begin_delivery", doom, "before_send")
    before(ReportRuns, "end_delivery", doom, "after_send")


def install(role: str, doom: Doom) -> None:
    """Put the steps of a role in place."""
    if role == "reports":
        install_in_reports(doom)
        return
    before(Intake, "take_up", doom, "after_poll")
    if role == "sink":
        after(SinkWorker, "_decode", doom, "mid_evaluation")
        during_insert(doom)
        after(Inserter, "_send", doom, "after_produce")
        after(OffsetConsumer, "_on_commit", doom, "after_commit")
        return
    doomed = doomed_producer(doom)
    processor.stream.committer.Producer = doomed  # the point of this module
    processor.stream.transactions.Producer = doomed  # the point of this module
    if role == "matcher":
        after(HogEvaluator, "evaluate", doom, "mid_evaluation")
        hang(HogEvaluator, "evaluate", doom, "hang")
    else:
        after_call(doom)


if __name__ == "__main__":
    folder, *arguments = sys.argv[1:]
    role = arguments[arguments.index("--role") + 1]
    install(role, Doom(Path(folder) / role))
    faulthandler.register(signal.SIGUSR1, all_threads=True)  # where it stands, for the story of a failed test
    sys.argv = ["gavel", *arguments]
    for name in [name for name in os.environ if name.startswith(("GAVEL_TEST_", "GAVEL_CACHE"))]:
        del os.environ[name]  # it is for the tests; Gavel refuses settings that it does not know
    main()

"""Sending dead letters back to where they came from, and closing them.

A redrive writes the record and the letter's mark in one transaction: a letter is redriven once, whoever is killed
in between. Letters are looked up after all other redrives were fenced off, so two that overlap send no letter twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from config.settings import Settings
from processor.dead_letters.stored import DeadLetter, LetterFilter, LetterRef, closing_mark
from processor.dead_letters.topic import DeadLetterTopic, RedriveError
from processor.events.output import Output
from processor.kafka import KafkaClients
from processor.stream.deadline import Deadline
from processor.stream.transactions import CommitAborted, CommitFailed, OutputTooLarge, Transactions

_TOGETHER, _TOGETHER_BYTES = 500, 32 * 1024 * 1024
"""Letters of one transaction, and the size of their values; one larger letter has a transaction of its own."""
_COMMIT_S = 60.0
_Letter = TypeVar("_Letter", DeadLetter, LetterRef)


@dataclass(slots=True)
class Redriven:
    """The outcome of a redrive: the number of letters sent, and the ids of refused letters with the reasons.

    A purge refuses none, and its letters count as sent when they are closed.
    """

    sent: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)


class RedriveStopped(RedriveError):
    """A redrive or a purge ended early.

    Attributes:
        done: the outcome of the finished transactions. That of the last one is not among it and may be unknown.
    """

    def __init__(self, work: str, done: Redriven, cause: Exception) -> None:
        self.done = done
        marked = f"letters that were {'sent' if work == 'redrive' else 'closed'} are marked"
        super().__init__(f"the {work} stopped after {done.sent} letters: {cause}; {marked}, so run it again")


def open_redriver(settings: Settings, clients: KafkaClients, letters: DeadLetterTopic) -> Redriver:
    """Return a redriver of the deployment; see `Redriver` for what it ends."""
    configuration = {
        **clients.producer_config(),
        "transactional.id": settings.kafka.group("dlq-redrive"),
        "transaction.timeout.ms": int(settings.kafka.transaction_timeout_s * 1000),
    }
    return Redriver(configuration, letters, max_attempts=settings.dead_letters.max_redrives)


class Redriver:
    """Sends letters back and closes them.

    From the moment that it is made, every redriver that was made earlier fails at its next step. The letters that those
    closed are closed for this one.

    Args:
        configuration: of a transactional producer; its `transactional.id` is the same for all redrives of a topic.
        max_attempts: letters that failed that often stay where they are.

    Raises:
        RedriveStopped: from the constructor and each method, if the broker refuses or does not answer.
    """

    def __init__(self, configuration: dict[str, Any], letters: DeadLetterTopic, *, max_attempts: int) -> None:
        self._letters = letters
        self._max_attempts = max_attempts
        self._is_alone = True
        with _telling("redrive", Redriven()):
            self._transactions = Transactions(configuration, start_timeout_s=_COMMIT_S)

    def redrive(self, selection: LetterFilter, *, on_sent: Callable[[int], None] | None = None) -> Redriven:
        """Send the letters of `selection` that are open now back, in transactions of at most 500.

        Use the selection of a `OpenLetters` to send no letter that was not found before. If it raises, the finished
        transactions stand.
        """
        done = Redriven()
        with _telling("redrive", done):
            for batch in _batches(self._letters.find(selection, settled=True).refs):
                letters = self._letters.read(batch, with_values=True)
                refused = []
                with self._transaction() as deadline:
                    letters = self._still_open(letters)
                    for letter in letters:
                        problem = self._send(letter, deadline)
                        if problem is not None:
                            refused.append((letter.id, problem))
                done.sent += len(letters) - len(refused)
                done.refused += refused
                if on_sent is not None:
                    on_sent(done.sent)
        return done

    def purge(self, selection: LetterFilter) -> int:
        """Close the letters of `selection` that are open now, without sending them anywhere. Returns how many."""
        done = Redriven()
        with _telling("purge", done):
            for batch in _batches(self._letters.find(selection, settled=True).refs):
                with self._transaction() as deadline:
                    refs = self._still_open(batch)
                    for ref in refs:
                        self._transactions.produce(closing_mark(self._letters.name, ref, "purged"), deadline)
                done.sent += len(refs)
        return done.sent

    @contextmanager
    def _transaction(self) -> Iterator[Deadline]:
        """Make what the block produces durable together, within 60 s; nothing of it if the block raises."""
        deadline = self._transactions.deadline(Deadline(_COMMIT_S))
        client = self._transactions.producer
        self._transactions.begin(deadline)
        self._is_alone = self._is_alone and self._transactions.producer is client
        yield deadline
        self._transactions.commit((), None, deadline).wait(deadline)

    def _still_open(self, letters: list[_Letter]) -> list[_Letter]:
        """Return those of `letters` that nobody has closed since they were looked for. Call it in a transaction.

        Nobody else can have closed any while this redriver is alone. A producer that is recreated after a connection
        broke fences the redrives that began since, instead of being fenced by them, and they may have closed letters.
        """
        if self._is_alone:
            return letters
        ids = frozenset(f"{each.partition}:{each.offset}" for each in letters)
        found = {ref[:2] for ref in self._letters.find(LetterFilter(ids=ids), settled=True).refs}
        return [each for each in letters if (each.partition, each.offset) in found]

    def _send(self, letter: DeadLetter, deadline: Deadline) -> str | None:
        """Send `letter` and its mark; return the problem if it has to stay."""
        if letter.came_by_http:
            return "the front door refused it, so it is not a row; mend the event and send it again with `gavel send`"
        if not letter.has_topic:
            return "a replay read it from the archive, so it has no topic; repeat the replay, and purge the letter"
        if letter.attempts >= self._max_attempts:
            return f"failed {letter.attempts} times already (dead_letters.max_redrives)"
        value = letter.value
        if value is None and letter.sha256 is not None:
            value = self._letters.fetch_original(letter)
            if value is None:
                return f"{letter.source_topic} no longer gives its value, which is too large for the letter"
        back = Output("redriven", letter.redrive_topic, letter.key, value, letter.original_headers())
        try:
            self._transactions.produce(back, deadline)
        except OutputTooLarge:
            return "its value is over kafka.max_message_bytes"
        self._transactions.produce(closing_mark(self._letters.name, letter, "redriven"), deadline)
        return None


def _batches(refs: list[LetterRef]) -> Iterator[list[LetterRef]]:
    """Give `refs` in parts that fit into a transaction and into memory."""
    batch: list[LetterRef] = []
    size_bytes = 0
    for ref in refs:
        if batch and (len(batch) == _TOGETHER or size_bytes + ref.size_bytes > _TOGETHER_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(ref)
        size_bytes += ref.size_bytes
    if batch:
        yield batch


@contextmanager
def _telling(work: str, done: Redriven) -> Iterator[None]:
    """Turn a failure into one that tells how much was done before it."""
    try:
        yield
    except (CommitAborted, CommitFailed, RedriveError) as error:
        raise RedriveStopped(work, done, error) from error

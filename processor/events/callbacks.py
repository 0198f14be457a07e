"""Running the callbacks of a producer, and its end.

confluent-kafka (2.16) raises a fatal error of a producer out of the call that runs callbacks first: once, and also
where an `error_cb` is set, which is not called for it. Afterwards the producer delivers nothing any more. Each message
in its queue fails, `produce` is refused, and each step of a transaction fails with the fatal error.

A call that blocks, such as `flush` or `commit_transaction`, runs further callbacks while that exception waits to be
raised. Python takes this for a mistake of the callback, and the call raises a SystemError whose cause is the exception.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from confluent_kafka import KafkaError, KafkaException, Producer

_LOOK_S = 0.02
"""A delivery ends no poll where only failures are reported, or where another thread polled it."""


def is_fatal(error: KafkaError) -> bool:
    """Return whether no later call of the client can succeed."""
    return error.fatal() or error.code() == KafkaError._FATAL


def reason_of(error: KafkaException | SystemError) -> KafkaError:
    """Return the error of Kafka behind what a client raised. Raises a SystemError of another origin again."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KafkaException):
            reason: KafkaError = cause.args[0]
            return reason
        cause = cause.__cause__
    raise error


def run_callbacks(producer: Producer, wait_s: float = 0.0) -> KafkaError | None:
    """Run the callbacks that are due, those of deliveries and of the log; wait up to `wait_s` for the first one.

    Returns:
        The fatal error of the producer, the first time that it is seen.
    """
    try:
        producer.poll(wait_s)
    except (KafkaException, SystemError) as error:
        return reason_of(error)
    return None


def flush(
    producer: Producer, within_s: float, *, done: Callable[[], bool] = lambda: False
) -> tuple[int, KafkaError | None]:
    """Wait until the queue of `producer` is empty, or until `done` says so, and run the callbacks meanwhile.

    Returns:
        The number of messages that are left after `within_s` seconds, and the fatal error as `run_callbacks`.
    """
    until_s = monotonic() + within_s
    fatal: KafkaError | None = None
    while len(producer) > 0 and not done():
        left_s = until_s - monotonic()
        if left_s <= 0:
            break
        fatal = run_callbacks(producer, min(left_s, _LOOK_S)) or fatal
    return len(producer), fatal

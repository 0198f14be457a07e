from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from api.http.rate_limit import RateLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_then_the_rate() -> None:
    clock = Clock()
    limiter = RateLimiter(per_minute=60, burst=3, monotonic_s=clock)
    assert [limiter.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 1.0]
    clock.now = 1.0
    assert limiter.take("a") == 0.0
    assert limiter.take("a") == 1.0


def test_a_refused_request_costs_nothing() -> None:
    clock = Clock()
    limiter = RateLimiter(per_minute=60, burst=1, monotonic_s=clock)
    limiter.take("a")
    for _ in range(100):
        assert limiter.take("a") > 0
    clock.now = 1.0
    assert limiter.take("a") == 0.0


def test_quiet_keys_get_their_burst_back_and_no_more() -> None:
    clock = Clock()
    limiter = RateLimiter(per_minute=60, burst=2, monotonic_s=clock)
    clock.now = 1e6
    assert [limiter.take("a") > 0 for _ in range(3)] == [False, False, True]


def test_zero_switches_it_off() -> None:
    limiter = RateLimiter(per_minute=0, burst=0, monotonic_s=Clock())
    assert all(limiter.take("a") == 0.0 for _ in range(1000))


def test_many_threads_share_one_bucket() -> None:
    limiter = RateLimiter(per_minute=1, burst=50, monotonic_s=Clock())
    with ThreadPoolExecutor(8) as pool:
        assert sum(wait == 0.0 for wait in pool.map(limiter.take, ["a"] * 200)) == 50

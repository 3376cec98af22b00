"""Breaker: closed, open, one probe, closed again."""

import threading

from context.breaker import Breaker


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_everything_passes_until_a_failure() -> None:
    breaker = Breaker(5)
    assert breaker.state == "closed"
    assert all(breaker.allows() for _ in range(3))
    breaker.success()
    assert breaker.state == "closed"


def test_a_failure_stops_everything_for_the_pause() -> None:
    clock = Clock()
    breaker = Breaker(5, clock)
    breaker.failure()
    clock.now += 4.9
    assert breaker.state == "open"
    assert not breaker.allows()


def test_after_the_pause_exactly_one_probe_passes() -> None:
    clock = Clock()
    breaker = Breaker(5, clock)
    breaker.failure()
    clock.now += 5
    assert breaker.state == "half-open"
    assert breaker.allows()
    assert not breaker.allows()
    breaker.success()
    assert breaker.state == "closed"
    assert breaker.allows()


def test_a_failed_probe_opens_it_again() -> None:
    clock = Clock()
    breaker = Breaker(5, clock)
    breaker.failure()
    clock.now += 5
    assert breaker.allows()
    clock.now += 1
    breaker.failure()
    clock.now += 4.9
    assert not breaker.allows()
    clock.now += 0.1
    assert breaker.allows()


def test_a_probe_that_never_reports_does_not_shut_it_for_good() -> None:
    clock = Clock()
    breaker = Breaker(5, clock)
    breaker.failure()
    clock.now += 5
    assert breaker.allows()
    clock.now += 5
    assert breaker.allows()


def test_of_many_threads_one_probes() -> None:
    clock = Clock()
    breaker = Breaker(5, clock)
    breaker.failure()
    clock.now += 5
    passed = []
    gate = threading.Barrier(16)

    def ask() -> None:
        gate.wait()
        passed.append(breaker.allows())

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 1

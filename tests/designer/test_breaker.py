from palmette.designer.breaker import Breaker


def broken(breaker, times):
    for _ in range(times):
        assert breaker.enter() is None
        breaker.leave(outage=True)


def test_rests_grow_and_end_with_an_answer():
    now = [0.0]
    breaker = Breaker(outages=3, rest=5.0, longest=15.0, clock=lambda: now[0])
    broken(breaker, 3)
    for rest in (5.0, 10.0, 15.0, 15.0):
        assert breaker.enter() == rest
        now[0] += rest - 1.0
        assert breaker.enter() == 1.0
        now[0] += 1.0
        broken(breaker, 1)
    now[0] += 15.0
    assert breaker.enter() is None
    breaker.leave(outage=False)
    broken(breaker, 2)
    assert breaker.enter() is None


def test_one_call_alone_finds_out_whether_the_rest_is_over():
    now = [0.0]
    breaker = Breaker(outages=1, rest=5.0, clock=lambda: now[0])
    broken(breaker, 1)
    now[0] = 6.0
    assert breaker.enter() is None
    assert breaker.enter() == 0.0
    breaker.leave(outage=False)
    assert breaker.enter() is None


def test_answers_in_between_are_no_row():
    breaker = Breaker(outages=2)
    for _ in range(5):
        broken(breaker, 1)
        assert breaker.enter() is None
        breaker.leave(outage=False)
    assert breaker.row == 0


def test_many_that_fail_at_once_are_one_outage():
    breaker = Breaker(outages=3, rest=5.0, clock=lambda: 0.0)
    for _ in range(10):
        assert breaker.enter() is None
    for _ in range(10):
        breaker.leave(outage=True)
    assert breaker.enter() == 5.0

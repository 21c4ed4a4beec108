from palmette.exam.league import efficient, enters, is_null, rivals, tuned_rivals
from tests.exam.made import entry

HYBRID = entry("hybrid", constant_state=False, state_bytes=90_000)
DELTANET, MAMBA = entry("deltanet", state_bytes=4_096), entry("mamba2", state_bytes=8_192)
TUNED = entry("deltanet tuned", "tuned", baseline="deltanet")
ALL = (HYBRID, DELTANET, MAMBA, TUNED)


def test_a_constant_state_no_larger_than_the_largest_baselines_enters():
    assert enters(entry("x", "candidate", state_bytes=8_192), ALL, "constant-state")
    assert not enters(entry("x", "candidate", state_bytes=8_193), ALL, "constant-state")
    assert not enters(entry("x", "candidate", constant_state=False), ALL, "constant-state")
    assert enters(entry("x", "candidate", constant_state=False), ALL, "open")


def test_without_a_baseline_of_constant_state_nobody_enters():
    assert not enters(entry("x", "candidate"), (HYBRID,), "constant-state")


def test_tuned_baselines_are_rivals_of_their_own_kind():
    x = entry("x", "candidate")
    assert rivals(x, ALL, "open") == (HYBRID, DELTANET, MAMBA)
    assert rivals(x, ALL, "constant-state") == (DELTANET, MAMBA)
    assert tuned_rivals(x, ALL, "open") == (TUNED,)


def test_half_the_state_or_half_the_flops_is_efficient():
    big = entry("big", state_bytes=8_000, flops_forward=1e6)
    assert efficient(entry("x", state_bytes=4_000, flops_forward=1e6), big, 0.5)
    assert efficient(entry("x", state_bytes=8_000, flops_forward=5e5), big, 0.5)
    assert not efficient(entry("x", state_bytes=4_001, flops_forward=5.1e5), big, 0.5)


def test_a_placebo_is_a_baseline_under_another_name():
    again = entry("again", "placebo", replica=1, genome=DELTANET.genome)
    assert is_null(again, ALL, "open")
    assert is_null(again, ALL, "constant-state")
    of_hybrid = entry("again", "placebo", replica=1, genome=HYBRID.genome)
    assert not is_null(of_hybrid, ALL, "constant-state")
    assert not is_null(entry("root again", "placebo", replica=1), ALL, "open")

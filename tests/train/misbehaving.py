"""Runners for the tests of the pool: what they do is said by the spec's expression.

They need no torch, so a server with them starts in a moment.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from palmette.errors import TrialError
from palmette.records import CurvePoint, TrialResult, TrialSpec


def spec(expression, seed=0):
    """A spec that tells the runner below what to do; its other fields mean nothing."""
    return TrialSpec(
        genome="0" * 64,
        expression=expression,
        rung="tiny",
        rung_digest="none",
        parameters=1,
        tokens=1,
        batch_size=1,
        length=1,
        evaluation_tokens=1,
        suite="none",
        suite_digest="none",
        seed=seed,
        learning_rate=1.0,
        numerics=1,
    )


def result(commit=None):
    return TrialResult(
        metrics={},
        select={},
        curve=(),
        parameters=1,
        parameters_non_embedding=1,
        width=1,
        depth=1,
        fits=True,
        flops_forward=1.0,
        flops_train=3.0,
        state_bytes=0,
        kernel="torch",
        cpu_seconds=0.0,
        wall_seconds=0.0,
        phases={},
        peak_bytes=1,
        machine=f"process {os.getpid()}, processors {sorted(os.sched_getaffinity(0))}",
        commit=commit,
    )


def make(corpus_directory, commit):
    def run(spec, weights, on_progress):
        action, _, argument = spec.expression.partition(" ")
        ACTIONS[action](argument, weights, on_progress)
        return result(commit)

    return run


def make_broken(corpus_directory, commit):
    raise RuntimeError("no corpus in this teapot")


def crash(argument, weights, on_progress):
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(argument, weights, on_progress):
    os._exit(3)


def hang(argument, weights, on_progress):
    on_progress(CurvePoint(tokens=7, loss_nats=2.5, seconds=0.1))
    time.sleep(60)


def ignore_signals(argument, weights, on_progress):
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    hang(argument, weights, on_progress)


def eat(argument, weights, on_progress):
    kept = []
    while True:
        kept.append(b"x" * 2**22)
        time.sleep(0.005)


def eat_in_a_child(argument, weights, on_progress):
    program = "kept = b'x' * int(9e8); import time; time.sleep(60)"
    subprocess.run([sys.executable, "-S", "-c", program], check=True)


def print_garbage(argument, weights, on_progress):
    garbage = '{"event": "ended", "key": "none"}\n' * 3000
    print(garbage, flush=True)
    os.write(1, garbage.encode())
    assert sys.stdin.read() == ""


def report_often(argument, weights, on_progress):
    for tokens in range(20_000):
        on_progress(CurvePoint(tokens=tokens, loss_nats=1.0, seconds=0.0))


def fail_at_length(argument, weights, on_progress):
    raise ValueError("x" * 1_000_000)


def fail(argument, weights, on_progress):
    raise ValueError("no such knob")


def diverge(argument, weights, on_progress):
    raise TrialError("diverged at 4,096 tokens: loss is nan")


def exhaust(argument, weights, on_progress):
    raise MemoryError


def exhaust_torch(argument, weights, on_progress):
    raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ...")


def fill_the_disk(argument, weights, on_progress):
    raise OSError(28, "No space left on device")


def exit_politely(argument, weights, on_progress):
    sys.exit("bye")


def orphan(argument, weights, on_progress):
    sleeper = subprocess.Popen(["sleep", "60"])
    Path(argument).write_text(str(sleeper.pid))
    os.kill(os.getpid(), signal.SIGKILL)


def meet(argument, weights, on_progress):
    """Ends well only if another trial does the same at the same time."""
    place, name, other = argument.split()
    (Path(place) / name).touch()
    deadline = time.monotonic() + 20
    while not (Path(place) / other).exists():
        assert time.monotonic() < deadline, "the other trial did not come"
        time.sleep(0.01)


def nothing(argument, weights, on_progress):
    pass


ACTIONS = {
    action.__name__: action
    for action in (
        crash, leave, hang, ignore_signals, eat, eat_in_a_child, print_garbage, report_often,
        fail, fail_at_length, diverge, exhaust, exhaust_torch, fill_the_disk, exit_politely, orphan,
        meet, nothing,
    )
}  # fmt: skip


def make_again(corpus_directory, commit):
    """The same trials, of which one process runs several."""
    run = make(corpus_directory, commit)
    run.again = True
    return run


def make_watched(corpus_directory, commit):
    """The real runner, whose trials must find everything imported and the server alone."""
    from palmette.train import warm

    run = warm.make_runner(corpus_directory, commit)
    threads = 0

    def prepare(kernels):
        nonlocal threads
        run.prepare(kernels)
        threads = sum(1 for _ in Path("/proc/self/task").iterdir())

    def run_watched(spec: TrialSpec, weights, on_progress):
        assert threads == 1, f"the server has {threads} threads"
        before = set(sys.modules)
        ended = run(spec, weights, on_progress)
        late = sorted(set(sys.modules) - before)
        assert not late, f"imported after the fork: {late}"
        return ended

    run_watched.prepare = prepare
    return run_watched


class Together:
    """A runner of packs: every member does what its spec says, and then all end at once."""

    def __call__(self, spec, weights, on_progress):
        return make(None, None)(spec, weights, on_progress)

    def together(self, members, tell):
        time.sleep(0.05)
        ends = []
        for member in members:
            if member.spec.expression == "diverge":
                ends.append(TrialError("it diverged"))
            else:
                self(member.spec, member.weights, lambda point: None)
                ends.append(result().model_copy(update={"members": len(members)}))
        for member, ended in zip(members, ends, strict=True):
            yield member.spec.key, ended


def make_together(corpus_directory, commit):
    return Together()

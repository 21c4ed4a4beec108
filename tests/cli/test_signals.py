"""Signals sent to this process itself."""

import os
import signal
import sys
import time
from types import ModuleType

import pytest

import palmette.__main__
from palmette.cli import _signals
from palmette.cli._signals import interruptible

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number):
    os.kill(os.getpid(), number)
    time.sleep(0.01)  # Python calls the handler between two instructions


def interrupted(number, *more):
    """An interruptible command that gets one signal, and `more` while it cleans up; what it did."""
    did = []

    def command():
        with interruptible():
            try:
                send(number)
            except KeyboardInterrupt:
                for another in more:
                    send(another)
                did.append("cleaned up")
                raise

    with pytest.raises(SystemExit) as ended:
        command()
    return ended.value.code, did


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_the_first_signal_interrupts_and_the_next_ones_wait_for_the_cleaning_up(number, code):
    assert interrupted(number, *SIGNALS) == (code, ["cleaned up"])
    send(number)  # the process is ending: no further interrupt


def test_a_cleaning_up_that_hangs_can_be_interrupted(monkeypatch):
    monkeypatch.setattr(_signals, "PATIENCE_SECONDS", 0.0)
    assert interrupted(signal.SIGINT, signal.SIGINT) == (130, [])


def test_without_a_signal_all_is_as_before():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as ended, interruptible():
        sys.exit(1)
    assert ended.value.code == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_that_is_ignored_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interruptible():
        send(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_an_interrupt_while_the_command_line_is_loading(monkeypatch):
    loading = ModuleType("palmette.cli")

    def interrupted(name):
        raise KeyboardInterrupt

    loading.__getattr__ = interrupted
    monkeypatch.setitem(sys.modules, "palmette.cli", loading)
    with pytest.raises(SystemExit) as ended:
        palmette.__main__.main()
    assert ended.value.code == 130

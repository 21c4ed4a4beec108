"""All gates over one subject."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import torch

from palmette.errors import UnknownNameError
from palmette.gates._base import Gate, GateFailure, Subject
from palmette.model.build import GENERATOR
from palmette.records import GateResult
from palmette.registry import Registry

GATES: Registry[Gate] = Registry("gate", "palmette.gates", Gate)  # type: ignore[type-abstract]


def check(subject: Subject, only: Collection[str] | None = None) -> tuple[GateResult, ...]:
    """Every gate's verdict, in one thread; `only` names the gates to run.

    An exception inside a gate is a failed gate with the exception named: the module raised where
    it had to run.

    Raises `UnknownNameError` for a name in `only` that no gate has.
    """
    for name in only or ():
        if name not in GATES:
            raise UnknownNameError("gate", name, GATES.names())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return tuple(judge(cls(), subject) for cls in GATES if not only or cls.name in only)
    finally:
        torch.set_num_threads(threads)


def judge(gate: Gate, subject: Subject) -> GateResult:
    """One gate's verdict; torch's generator is left as it was."""
    with GENERATOR:
        before = torch.get_rng_state()
        try:
            reason = gate.applies(subject)
            if reason is not None:
                return GateResult(gate=gate.name, passed=None, detail=reason)
            try:
                detail = gate.check(subject)
            except GateFailure as failure:
                detail = in_double(gate, subject, failure)
            return GateResult(gate=gate.name, passed=True, detail=detail)
        except GateFailure as failure:
            return GateResult(gate=gate.name, passed=False, detail=str(failure))
        except Exception as error:
            return GateResult(gate=gate.name, passed=False, detail=told(error))
        finally:
            torch.set_rng_state(before)


def in_double(gate: Gate, subject: Subject, failure: GateFailure) -> str:
    """The verdict in fp64 of a gate that compares sums of another order.

    Some models, deep ones that share weights above all, make a thousand times more of a rounding.
    In fp64 it stays small, and what breaks a promise does not. Raises the first failure again if
    the gate fails there too.
    """
    if not gate.rounds:
        raise failure
    try:
        return f"{gate.check(subject.in_double())} (in fp64; in fp32: {failure})"
    except Exception:
        raise failure from None


def told(error: Exception) -> str:
    """An exception in one line of at most 300 characters."""
    text = f"raises {type(error).__name__}: {error}"
    line = " ".join(text.split())
    return line if len(line) <= 300 else line[:299] + "…"


def passed(results: Iterable[GateResult]) -> bool:
    """Whether no gate failed and at least one applied."""
    verdicts = [result.passed for result in results]
    return False not in verdicts and True in verdicts

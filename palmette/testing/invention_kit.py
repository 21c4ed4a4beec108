"""The contract of a primitive, put to a file that a model wrote: inside the locked-down process.

A stranger's node is made of counts, has no knobs and no children, and promises to be causal and
nothing else. What of the contract that leaves without meaning is said to be so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from palmette.gates._check import told
from palmette.grammar.types import Effect
from palmette.model.stranger.conduct import functions, replaced
from palmette.model.stranger.node import admit
from palmette.ops import language
from palmette.ops._base import Primitive
from palmette.records import GateResult, Stranger
from palmette.search import inspection
from palmette.testing.primitive_kit import (
    CHECKS,
    ContractError,
    PrimitiveKit,
    costed,
    documented,
    streamed,
)

Check = Callable[[PrimitiveKit], None]
WITHOUT: dict[Check, str] = {
    documented: "is no file of the language: it has the docstring that its author gave it",
    costed: "declares no cost: its FLOPs are counted, and elementwise work is in no count",
}


def look(request: dict[str, Any]) -> dict[str, Any]:
    """Inside: what `inspection.look` finds, with a verdict `kit_…` for each check of the contract.

    Code of others that was replaced while the file ran is a fault.
    """
    before = functions()
    found = inspection.look(request, contract)
    return found | {"faults": [*found["faults"], *replaced(before)]}


def contract(stranger: Stranger) -> tuple[GateResult, ...]:
    """The verdict of every check. A node without knobs has one form, so one genome is enough."""
    cls = admit(stranger, run=True)
    kit = PrimitiveKit(cls, language(), samples=1)
    return tuple(_verdict(check, kit) for check in CHECKS)


def reason_against(check: Check, primitive: type[Primitive]) -> str | None:
    """Why a check says nothing about a stranger's node; None if it does."""
    if check is streamed and Effect.STREAMABLE in primitive.breaks:
        return "does not promise to be streamable"
    return WITHOUT.get(check)


def _verdict(check: Check, kit: PrimitiveKit) -> GateResult:
    name = f"kit_{check.__name__}"
    if reason := reason_against(check, kit.primitive):
        return GateResult(gate=name, passed=None, detail=reason)
    try:
        check(kit)
    except ContractError as error:
        return GateResult(gate=name, passed=False, detail=str(error))
    except Exception as error:
        return GateResult(gate=name, passed=False, detail=told(error))
    summary = " ".join((check.__doc__ or "").split()).partition(". ")[0]
    return GateResult(gate=name, passed=True, detail=summary.removesuffix(".").lower())

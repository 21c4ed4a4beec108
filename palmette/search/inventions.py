"""Primitives that a model wrote: put to the test behind walls, then part of a campaign's language.

    stranger = invent(source, 17)        # idea_17.py, node idea_17_1a2b3c4d
    adopt(campaign, stranger)            # kept with the campaign; `parse` knows it from now on

A model's text is data here. It is parsed, never run, in this process; it is named by the number of
the proposal, so nothing of it enters a path. In the locked-down process it has to pass every gate
and every check of the contract of primitives that applies to it, where a person's layer is only
kept from reading the future.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from palmette.designer.plain import one_line
from palmette.grammar.language import Language
from palmette.model.stranger.node import admit, node_class
from palmette.model.stranger.restraint import LARGEST_BYTES, unrestrained
from palmette.model.stranger.source import Source, StrangerError
from palmette.ops import primitives
from palmette.records import GateResult, Stranger
from palmette.search.strangers import LIMITS
from palmette.store import Campaign
from palmette.tasks import VOCABULARY
from palmette.train.sandbox import run

SUMMARY = 200  # characters


def invent(source: str, number: int) -> Stranger:
    """The layer of a text that a model wrote for proposal `number`, with the verdicts of all gates
    and, as `kit_…`, of all checks of a primitive's contract.

    Raises `StrangerError` with everything that is wrong with it, in words for its author.
    """
    file = f"idea_{number}.py"
    size = len(source.encode("utf-8", "replace"))
    if size > LARGEST_BYTES:
        raise StrangerError(
            f"{file} has {size:,} bytes; a layer's file has at most {LARGEST_BYTES:,}"
        )
    if faults := unrestrained(Source(file, source)):
        raise StrangerError(*faults)
    request: dict[str, Any] = {
        "file": file,
        "text": source,
        "beside": (),
        "cls": None,
        "given": {},
        "vocabulary": VOCABULARY,
        "gates": None,
    }
    answer = run("palmette.testing.invention_kit:look", request, LIMITS)
    if answer.verdict is not None:
        raise StrangerError(f"{file}: {answer.verdict}")
    faults = list(answer.value["faults"])
    found = None
    if answer.value["stranger"] is not None:
        described = answer.value["stranger"]
        summary = one_line(described["summary"], SUMMARY)  # it is printed, and told to others
        described |= {"protection": answer.protection, "summary": summary}
        found = Stranger.model_validate(described)
        faults += failures(found)
    if faults or found is None:
        raise StrangerError(*faults)
    return found


def failures(stranger: Stranger) -> list[str]:
    """What keeps a described file from being a primitive: every check that failed."""
    faults = [
        f"{_called(result)} failed: {result.detail}"
        for result in stranger.gates
        if result.passed is False
    ]
    if stranger.takes != "features":
        faults.append(f"{stranger.cls} maps ids to logits; wanted features [b t d] to [b t d]")
    return faults


def adopt(campaign: Campaign, stranger: Stranger) -> None:
    """Keeps an invention with a campaign and lets this process' language know its node."""
    if stranger.name not in {kept.name for kept in campaign.strangers()}:
        campaign.add_stranger(stranger)
    admit(stranger)


def language_of(campaign: Campaign) -> Language:
    """The language that a campaign searches: all primitives and, in the order in which they came,
    the strangers that it keeps, whatever else this process knows.
    """
    return extended(Language(tuple(primitives)), campaign.strangers())


def extended(language: Language, strangers: Iterable[Stranger]) -> Language:
    """A language with the nodes of further strangers, whose classes do not run here."""
    added = [node_class(own, run=False) for own in strangers if own.name not in language]
    return Language((*language.nodes, *added)) if added else language


def _called(result: GateResult) -> str:
    kit = result.gate.removeprefix("kit_")
    return f"gate {kit}" if kit == result.gate else f"the contract's check {kit!r}"

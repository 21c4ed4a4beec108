"""What happens inside the locked-down process: a stranger's file is described and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from palmette.gates import Subject, check, subject_of
from palmette.grammar.types import Effect
from palmette.model import parse
from palmette.model.build import instantiate
from palmette.model.stranger.conduct import watch
from palmette.model.stranger.describe import describe
from palmette.model.stranger.node import admit, node_class
from palmette.model.stranger.source import Source, StrangerError
from palmette.ops._base import Place
from palmette.records import GateResult, Stranger

Further = Callable[[Stranger], tuple[GateResult, ...]]
WIDTH, CONTEXT = 32, 2048  # of what the gates look at
PARAMETERS = 60_000


def look(request: dict[str, Any], further: Further = lambda found: ()) -> dict[str, Any]:
    """Inside: the file described and put through the gates and `further` checks; or everything that
    is wrong with it.
    """
    torch.set_num_threads(1)
    source = Source(request["file"], request["text"], frozenset(request["beside"]))
    deeds = watch(source)
    faults: Iterable[str] = ()
    found = None
    try:
        found = describe(source, request["cls"], request["given"], request["vocabulary"])
        results = (*check(subject(found), request["gates"]), *further(found))
        found = found.model_copy(update={"gates": results})
    except StrangerError as error:
        faults = [fault for fault in error.faults if "PermissionError" not in fault or not deeds]
    faults = [*deeds, *faults]
    return {"faults": faults, "stranger": found.model_dump(mode="json") if found else None}


def subject(stranger: Stranger) -> Subject:
    """What the gates are put to: the class alone, at the least usual width. Inside alone."""
    cls = node_class(stranger, run=True)
    width = next(w for w in (*range(WIDTH, 4 * WIDTH), *stranger.only, 4096) if w in cls.widths)
    place = Place(width, 1, 1.0, stranger.vocabulary, CONTEXT)
    made = cls().plan(place)

    def make() -> nn.Module:
        before = torch.get_rng_state()
        try:
            torch.default_generator.manual_seed(0)
            module: nn.Module = instantiate(made)
        finally:
            torch.set_rng_state(before)
        return module

    return Subject(
        make=make,
        takes=stranger.takes,
        width=width,
        vocabulary=stranger.vocabulary,
        promises=frozenset({Effect.CAUSAL}),
        context=CONTEXT,
        parameters=cls().cost(place, 1).parameters,
    )


def look_at_genome(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Inside: the gates over a genome."""
    for own in request["strangers"]:
        admit(Stranger.model_validate(own), run=True)
    made = subject_of(parse(request["expression"]), PARAMETERS, request["vocabulary"])
    return [result.model_dump(mode="json") for result in check(made, request["gates"])]

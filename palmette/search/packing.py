"""Which trials of a campaign are trained at once.

A campaign measures when it begins whether packs pay on this machine (`train/pack_choice.py`), keeps
what it has chosen, and never chooses again: packed trials have numbers of their own.
"""

from __future__ import annotations

from palmette.grammar.genome import Genome
from palmette.ladder.scales import Scale
from palmette.ops.forms import PACKED
from palmette.records import StoredTrial
from palmette.search.book import Book
from palmette.store.campaign import LOST_WITH_GROW
from palmette.train.pack import packable
from palmette.train.pack_choice import Choice, Shape, choose


def choose_for(root: Genome, scale: Scale, context: int, kernel: str) -> Choice:
    """Whether a new campaign packs: measured on its root at the first rung."""
    rung = scale.rungs[0]
    if kernel not in PACKED.values():
        return Choice(False, None, f"kernel {kernel} is not packed")
    shape = Shape(root, rung.parameters, rung.batch_size, rung.length, context)
    return choose(shape, rung.rates * rung.seeds, rung.tokens // (rung.batch_size * rung.length))


def packed_kernel(kernel: str) -> str:
    """The kernel of packed trials whose models are built with this one."""
    return next(packed for packed, form in PACKED.items() if form == kernel)


def companions(book: Book, trial: StoredTrial) -> list[StoredTrial]:
    """The queued trials that may be trained together with this one, in their order.

    One whose worker was lost is tried again by itself.
    """
    own: list[StoredTrial] = []
    if trial.spec.kernel not in PACKED or _lost(trial):
        return own
    for other in book.queued():
        specs = [each.spec for each in (trial, *own, other)]
        if not _lost(other) and packable(specs):
            own.append(other)
    return own


def _lost(trial: StoredTrial) -> bool:
    return trial.reason not in (None, LOST_WITH_GROW)

"""Layers that the language lacks: a node that stands for one, and the engineer who writes it.

Where a campaign allows code, designers are offered one node more: a layer that nobody has written
yet. It can be typed, sized and told apart like any other; whoever proposes it says in the
motivation what it should compute. The engineer then writes that, and its node takes the other's
place.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from palmette.designer.roles.engineer import engineer
from palmette.designer.scene import Scene
from palmette.designer.session import Session
from palmette.grammar.canonical import canonical
from palmette.grammar.genome import Genome
from palmette.grammar.language import Language
from palmette.grammar.syntax import parse
from palmette.model.stranger.counted import count
from palmette.model.stranger.node import node_class, strangers_of
from palmette.records import Stranger
from palmette.search.inventions import extended, invent
from palmette.search.proposers._base import NoProposalError, Proposal, Turn
from palmette.tasks import VOCABULARY

WIDTHS = (16, 64, 128)
UNWRITTEN = Stranger(
    name="new_layer_00000000",
    file="a file that is still to be written",
    cls="A layer",
    summary="A layer that nobody has written yet.",
    source="",
    takes="features",
    given={},
    settings={},
    sizes={"width": "width"},
    config=None,
    config_cls=None,
    config_settings={},
    config_sizes={},
    multiple=1,
    least=1,
    only=(),
    vocabulary=VOCABULARY,
    # As of two square matrices, until it is known.
    parameters=count((WIDTHS, (1,), (256,)), lambda width, depth, context: 2.0 * width**2),
    flops_forward=count((WIDTHS, (1,), (64, 128)), lambda width, depth, length: 4.0 * width**2),
)
NEW_LAYER = node_class(UNWRITTEN, run=False)
TOLD = f"""\
{UNWRITTEN.name}() is a layer that nobody has written yet: use it where no node computes what you \
mean, and say in the motivation what it computes, exactly. It is then written."""


@lru_cache(maxsize=8)
def lacking(language: Language) -> Language:
    """A language with the node of a layer that is still to be written."""
    return extended(language, [UNWRITTEN])


def written(
    made: Proposal, session: Session, scene: Scene, turn: Turn, language: Language
) -> Proposal:
    """A proposal whose new layer, if it has one, has been written and passed every check.

    Raises `StepError` if no file passes, `NoProposalError` if the genome gets no trial with it.
    """
    if UNWRITTEN not in strangers_of(made.genome):
        return made
    stranger = engineer(session, scene, made.motivation, turn.number, invent)

    def named(text: str) -> str:
        return text.replace(UNWRITTEN.name, stranger.name)

    known = extended(language, [stranger])
    genome = Genome(canonical(parse(named(made.genome.text), known)))
    if reason := turn.reason_against(genome):
        raise NoProposalError(f"{stranger.name} was written, but gets no trial: {reason}")
    return replace(
        made, genome=genome, edit_text=named(made.edit_text), strangers=(*made.strangers, stranger)
    )

"""Plan, check, debug, analyse: the set-up of ASI-ARCH.

Liu et al. 2025, AlphaGo Moment for Model Architecture Discovery (arXiv 2507.18074).

As published: the parent is drawn from the ten best, four references from ranks 11 to 50 (by
first-rung score; fewer while there are fewer). A planner sees them with retrieved knowledge and
proposes one change with a motivation. A checker looks for a future that leaks, for examples of a
batch that mix and for a repetition of what was tried; what it finds goes to a debugger, in at most
three rounds. After the trial an analyst writes down what was learned, with the parent and the
siblings before it.

What deviates: the checker's verdict is executed and no model's opinion. Gates run on the model that
was built at a small size: outputs of longer inputs must begin alike (causality), those of a row be
the same in another batch, gradients reach every parameter; the kind of cost in t is what the
language promises. Novelty is a distance of structure and not of the motivation's wording.
The debugger is the planner itself, told of the faults; a draft that is only too near to another one
is proposed when the rounds are over. There is no model that scores, the ten best change with every
result and not by fifties, and there is no cold start beyond the root.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from palmette.designer.roles.researcher import Draft, research, think
from palmette.designer.roles.reviewer import nearest
from palmette.designer.scene import Scene
from palmette.designer.session import Session, StepError
from palmette.gates import check, subject_of
from palmette.grammar.genome import Genome
from palmette.model.stranger.node import stand_ins
from palmette.search.archive import Archive, Entry
from palmette.search.proposers._base import Proposal, Turn
from palmette.search.proposers._designer import Designer, proposal, shown, tried

PARENTS = 10  # the best, of which one is drawn
REFERENCES = 4  # drawn from the ranks after them
RANKS = 50  # down to which they are drawn
ROUNDS = 3  # of debugging
NEAR = 0.005  # of a tree edit distance; ten nodes that differ in a knob of a mixer or two
GATES = ("prefix", "batch", "gradient_reach")
WIDTH, DEPTH = 16, 1  # of the model that the gates run
"""The cheapest gates that cover what the published checker asks: on two busy cores 0.1 to 0.3 s for
a DeltaNet or a GPT-2, 3 s for a rule, which runs as a loop; all gates take ten times as long.
"""


class AsiArch(Designer):
    """Edits one of the ten best, and mends what executed checks find wrong with the result."""

    name = "asi_arch"

    def parent(self, archive: Archive, turn: Turn) -> Entry:
        """One of the ten best; the root while nothing has a score."""
        return turn.rng.choice(archive.best(PARENTS) or [archive.root])

    def design(self, session: Session, scene: Scene, archive: Archive, turn: Turn) -> Proposal:
        """An edit that has passed its checks."""
        later = archive.best(RANKS)[PARENTS:]
        drawn = turn.rng.sample(later, min(REFERENCES, len(later)))
        scene = replace(scene, best=tuple(shown(archive, entry) for entry in drawn))
        commission = self.commission(session, scene, archive, turn)
        thought = think(session, commission) if self.studio.config.steps >= 3 else ""
        draft = research(session, commission, thought)
        for number in range(ROUNDS + 1):
            broken, repeated = (
                broken_gates(draft.genome),
                _repeated(draft, archive, scene.parent.genome),
            )
            session.check(
                (*broken, *repeated),
                {"genome": draft.genome.hash, "edit": draft.edited.text, "gates": list(GATES)},
            )
            if not broken and (not repeated or number == ROUNDS):
                return proposal(draft, archive, (scene.parent.genome.hash,))
            if number < ROUNDS:
                notes = _notes(draft, (*broken, *repeated))
                draft = research(session, commission, thought, [notes])
        raise StepError("checker", f"not mended in {ROUNDS} rounds: {'; '.join(broken)}")


@lru_cache(maxsize=1024)
def broken_gates(genome: Genome) -> tuple[str, ...]:
    """What the cheap gates find wrong with a genome's model at a small size; computed once."""
    with stand_ins():
        results = check(subject_of(genome, width=WIDTH, depth=DEPTH), GATES)
    return tuple(f"{one.gate}: {one.detail}" for one in results if one.passed is False)


def _repeated(draft: Draft, archive: Archive, parent: Genome) -> tuple[str, ...]:
    """What was tried already and is nearly the same, the parent aside."""
    others = [one for one in tried(archive) if one.genome != parent]
    near = nearest(draft.genome, others, most=1)
    if not near or near[0].distance >= NEAR:
        return ()
    return (f"nearly the same was tried: {near[0].shown.genome}; propose something else",)


def _notes(draft: Draft, faults: tuple[str, ...]) -> str:
    listed = [f"- {fault[:300]}" for fault in faults]
    last = f"Your last edit was: {draft.edited.text}\nWhat it makes was checked:"
    return "\n".join([last, *listed, "Propose the edit again, mended, or another one."])

"""Edits that a language model proposes, one after the other, as evolution does.

The parent wins a tournament on its island. The steps of a proposal are counted (`DesignerConfig`):
with 1 the model proposes; 2 retrieves cards first; 3 thinks first, too; each further one is a round
of review, and of revision if the reviewer asks for it.
"""

from __future__ import annotations

from palmette.designer.roles.researcher import research, think
from palmette.designer.roles.reviewer import review
from palmette.designer.scene import Scene
from palmette.designer.session import Session, StepError
from palmette.search.archive import Archive
from palmette.search.proposers._base import Proposal, Turn
from palmette.search.proposers._designer import Designer, proposal, tried


class Llm(Designer):
    """Asks a language model for an edit, shows it what is known, and has it reviewed."""

    name = "llm"

    def design(self, session: Session, scene: Scene, archive: Archive, turn: Turn) -> Proposal:
        """A reviewed edit of the scene's genome.

        A draft that is legal is proposed even if a later step fails.
        """
        config = self.studio.config
        commission = self.commission(session, scene, archive, turn)
        thought = think(session, commission) if config.steps >= 3 else ""
        draft = research(session, commission, thought)
        for _ in range(config.steps - 3):
            try:
                said = review(session, draft, scene.parent, tried(archive), config.feedback)
                if said.verdict == "accept":
                    break
                draft = research(session, commission, thought, said.notes(draft))
            except StepError:  # its thoughts tell why
                break
        session.check((), {"genome": draft.genome.hash, "edit": draft.edited.text})
        return proposal(draft, archive, (scene.parent.genome.hash,))

"""A proposer whose steps are a language model's: what all of them share.

A turn of a designer: choose a model by what its proposals brought and cost, let the analyst look
back at results that nobody has looked at yet, set the scene around a tournament's winner, and let
the concrete designer do its steps. A step that comes to nothing declines the proposal; what was
asked and answered until then is kept.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import ClassVar, final

from palmette.designer.bandit import Pull, choose
from palmette.designer.embedding import Vectors
from palmette.designer.knowledge import Card, cards, retrieve
from palmette.designer.lessons import lessons
from palmette.designer.menu import described, menu
from palmette.designer.origin import part_of
from palmette.designer.roles.analyst import Outcome, analyse
from palmette.designer.roles.researcher import Commission, Draft, idea_shape, scene_tokens
from palmette.designer.scene import Scene, Shown
from palmette.designer.session import Session, StepError, Studio
from palmette.grammar.language import Language
from palmette.grammar.node import Node
from palmette.records import Prediction, Thought
from palmette.search.archive import Archive, Entry
from palmette.search.proposers._base import NoProposalError, Proposal, Proposer, Turn
from palmette.search.proposers._inventing import NEW_LAYER, TOLD, lacking, written

TOURNAMENT = 3
LOOKED_BACK = 2  # results in a turn, at most, that the analyst looks at
CARDS = 4  # published ones, that a scene holds at most; and so many lessons
ANCESTORS = 4
SIBLINGS = 6
BEST = 4
SMALL_CONTEXT = 4096  # tokens; below, little is told and answers are kept short
MENU, SMALL_MENU = 16, 8  # node classes that are offered beside those of the parent and the cards


class Designer(Proposer):
    """A proposer that asks language models; a concrete one writes `design`."""

    thinks: ClassVar[bool] = True

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        embedding = studio.config.embedding_model
        self._vectors = Vectors(studio.endpoint, embedding, studio.ledger) if embedding else None

    @final
    def ask(self, archive: Archive, turn: Turn) -> Proposal:
        """One proposal for the turn's island.

        Raises `NoProposalError` if a step comes to nothing: `lasting` if it would again.
        """
        model = self._model(archive, turn.rng)
        session = Session(self.studio, turn.number, self.name, model, turn.rng)
        try:
            if self.studio.config.feedback:
                self._look_back(archive, session)
            if self.studio.config.allow_code:
                archive = replace(archive, language=lacking(archive.language))
            scene = self.scene(session, archive, self.parent(archive, turn))
            made = self.design(session, scene, archive, turn)
            return written(made, session, scene, turn, archive.language)
        except StepError as error:
            raise NoProposalError(str(error), self._lasting(error)) from error

    def _lasting(self, error: StepError) -> bool:
        """A model that is not served is no reason to ask none of the others."""
        if error.call is None:
            return False
        others = error.call.kind == "unknown model" and len(self.studio.config.models) > 1
        return error.call.lasting and not others

    def parent(self, archive: Archive, turn: Turn) -> Entry:
        """The genome that is to be edited: a tournament's winner on the turn's island."""
        return archive.tournament(archive.living(turn.island), TOURNAMENT, turn.rng)

    @abstractmethod
    def design(self, session: Session, scene: Scene, archive: Archive, turn: Turn) -> Proposal:
        """The proposal that comes of a scene. Raises `StepError` or `NoProposalError`."""

    def scene(self, session: Session, archive: Archive, parent: Entry) -> Scene:
        """What a designer may know around a genome that is to be edited.

        The menu holds the nodes of the genome and of the cards' expressions, and some that are
        drawn.
        """
        config = self.studio.config
        knowledge, own = self._cards(session, archive, parent)
        siblings = [e for e in archive.children(parent.candidate.genome) if e.score is not None]
        siblings.sort(key=lambda entry: -(entry.score or 0.0))
        offered = _menu(archive.language, parent.genome.root, (*knowledge, *own), session)
        return Scene(
            parent=shown(archive, parent),
            menu=offered,
            language=described(offered) + f"\n{TOLD}" * (NEW_LAYER in offered.nodes),
            ancestors=_all_shown(archive, archive.ancestors(parent)[:ANCESTORS]),
            siblings=_all_shown(archive, siblings[:SIBLINGS]),
            best=_all_shown(archive, archive.best(BEST)),
            knowledge=knowledge,
            lessons=own,
            feedback=config.feedback,
        )

    def commission(
        self, session: Session, scene: Scene, archive: Archive, turn: Turn
    ) -> Commission:
        """What a researcher is asked on a scene, within the model's context."""
        config = self.studio.config
        root = scene.parent.genome.root
        return Commission(
            parent=root,
            language=archive.language,
            told=scene.told(scene_tokens(config)),
            shape=idea_shape(root, scene.menu, small=config.context_tokens <= SMALL_CONTEXT),
            reason_against=turn.reason_against,
        )

    def _cards(
        self, session: Session, archive: Archive, parent: Entry
    ) -> tuple[tuple[Card, ...], tuple[Card, ...]]:
        """Published cards and lessons that fit a genome: the best, and some drawn of the next.

        The draw keeps two proposals on one genome from being shown the same.
        """
        config = self.studio.config
        own = lessons(archive.thoughts, archive.language) if config.feedback else ()
        if config.steps < 2 or not (config.knowledge or own):
            return (), ()
        question = _question(parent, archive)
        among = (cards() if config.knowledge else (), own)
        published, learned = (
            _drawn(retrieve(question, 3 * CARDS, own, self._vectors), session.rng) for own in among
        )
        if self._vectors and self._vectors.tell():
            session.lack(self._vectors.fault or "")
        return published, learned

    def _model(self, archive: Archive, rng: Random) -> str:
        models = self.studio.config.models
        if len(models) == 1:
            return models[0]
        return choose(pulls(archive, self.name, models), rng)

    def _look_back(self, archive: Archive, session: Session) -> None:
        """Lessons from results of earlier proposals that have a score and no lesson yet.

        An analyst that says nothing legible costs a lesson, not the proposal.
        """
        looked_at = {t.proposal for t in archive.thoughts if t.role == "analyst"}
        waiting = [
            entry
            for entry in archive.entries
            if entry.candidate.proposer == self.name
            and entry.candidate.proposal not in looked_at
            and archive.change(entry) is not None
        ]
        for entry in waiting[:LOOKED_BACK]:
            try:
                _lesson(session, archive, entry)
            except StepError as error:
                if error.call is not None:
                    raise


def shown(archive: Archive, entry: Entry) -> Shown:
    """An entry as a designer is told of it."""
    held = entry.candidate
    return Shown(
        genome=entry.genome,
        score=entry.score,
        change=archive.change(entry),
        edit=held.edit_text or "",
        motivation=held.motivation or "",
        parameters=held.parameters,
        flops_forward=held.flops_forward,
        state_bytes=held.state_bytes,
    )


def tried(archive: Archive) -> tuple[Shown, ...]:
    """Every genome of an archive, for comparison."""
    return tuple(Shown(entry.genome, entry.score) for entry in archive.entries)


def proposal(draft: Draft, archive: Archive, parents: tuple[str, ...]) -> Proposal:
    """A draft as a proposal. The prediction rests on the results of such edits so far."""
    kind = draft.edited.kind
    return Proposal(
        genome=draft.genome,
        parents=parents,
        edit=kind,
        edit_text=draft.edited.text,
        motivation=draft.motivation,
        prediction=Prediction(
            change=draft.change,
            low=draft.low,
            high=draft.high,
            observations=len(archive.changes(kind)),
        ),
    )


def pulls(archive: Archive, proposer: str, models: Iterable[str]) -> dict[str, list[Pull]]:
    """What each model's proposals brought and cost: the bandit's arms.

    The gain is the change of the score; None if nothing was proposed. A proposal that waits for its
    result, or that another thread is at, says nothing yet. The cost is in dollars if all prices are
    known, else in tokens.
    """
    arms: dict[str, list[Pull]] = {model: [] for model in models}
    steps: dict[int, list[Thought]] = {}
    for thought in archive.thoughts:
        if thought.proposer == proposer and thought.role != "analyst":
            steps.setdefault(thought.proposal, []).append(thought)
    made = {entry.candidate.proposal: entry for entry in archive.entries}
    asked = [thought for own in steps.values() for thought in own if thought.model]
    priced = all(thought.usd is not None for thought in asked)
    for number, own in steps.items():
        model = next((thought.model for thought in own if thought.model), None)
        if model not in arms:
            continue
        gain = None
        if entry := made.get(number):
            gain = archive.change(entry)
            if gain is None:
                continue
        elif own[-1].outcome == "fine":
            continue
        cost = sum(
            (thought.usd or 0.0) if priced else thought.tokens_in + thought.tokens_out
            for thought in own
        )
        arms[model].append(Pull(gain, cost))
    return arms


def _lesson(session: Session, archive: Archive, entry: Entry) -> None:
    """Lets the analyst look at one result; its thoughts belong to the proposal looked at."""
    change, number = archive.change(entry), entry.candidate.proposal
    assert change is not None
    assert number is not None
    parent = archive.entry(entry.candidate.parents[0])
    assert parent is not None, "a change is that against a parent"
    children = archive.children(parent.candidate.genome)
    changes = [c for child in children if (c := archive.change(child)) is not None]
    prediction = entry.candidate.prediction
    looking = Session(session.studio, number, session.proposer, session.model, session.rng)
    analyse(
        looking,
        shown(archive, entry),
        shown(archive, parent),
        Outcome.of(change, prediction, changes),
        prediction,
        archive.language,
    )


def _menu(language: Language, root: Node, cards: Iterable[Card], session: Session) -> Language:
    """What is offered: what the genome and the cards' expressions are made of, and some drawn."""
    config = session.studio.config
    small = config.context_tokens <= SMALL_CONTEXT
    keep = {type(node) for _, node in root.walk()}
    if not small:
        parts = [part_of(text, language) for card in cards for text in card.expressions]
        keep |= {type(node) for part in parts if part for _, node in part.walk()}
    keep |= {NEW_LAYER} & set(language.nodes)
    most = max(SMALL_MENU if small else MENU, len(keep) + 2)
    return menu(language, keep, most, session.rng)


def _question(parent: Entry, archive: Archive) -> str:
    """What the knowledge base is asked: the genome in words, and what was tried on it last."""
    classes = {type(node) for _, node in parent.genome.root.walk()}
    words = [cls.summary() for cls in sorted(classes, key=lambda cls: cls.name)]
    edits = [e.candidate.edit_text or "" for e in archive.children(parent.candidate.genome)[-2:]]
    return " ".join([parent.genome.text, *words, *edits])


def _drawn(found: list[tuple[Card, float]], rng: Random) -> tuple[Card, ...]:
    """The best card and others drawn among the next ones, in the order in which they were found."""
    ranked = tuple(card for card, _ in found)
    if len(ranked) <= CARDS:
        return ranked
    places = sorted(rng.sample(range(1, len(ranked)), CARDS - 1))
    return tuple(ranked[place] for place in (0, *places))


def _all_shown(archive: Archive, entries: Iterable[Entry]) -> tuple[Shown, ...]:
    return tuple(shown(archive, entry) for entry in entries)

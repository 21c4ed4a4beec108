"""Unit-by-unit construction with checkpointed retries, the set-up of Genesys.

Cheng, Clark and Richardson 2025, Language Modeling by Language Models (arXiv 2506.20249).

As published: a proposal is a mutation of one genome, a crossover of two or a design from scratch,
in about the shares in which Genesys draws one, two or no parents. A planner first says which part
is to be redesigned, why, and what that will do. The part is then built unit after unit; each is
checked as it comes, one that fails is tried again from the checkpoint before it, with all units
before it kept, and a bounded number of failures ends the proposal. (The paper calls this
Viterbi-style; no alternatives are kept and compared, so it is a greedy search with retries.)

What deviates: a unit is a node of the language and not a class of PyTorch code, so its check is the
grammar's and exact. A checkpoint from which no unit is found is given up too, and building goes on
from the one before. The reviewer sees the finished genome; its rating is a remark, where Genesys
lets a proposal pass from 4 of 5 on. There is no observer of single units and no library of earlier
ones: a crossover shows the other genome, and retrieval is that of all designers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from palmette.designer.endpoint import Message, Shape
from palmette.designer.menu import described, menu
from palmette.designer.origin import attribute
from palmette.designer.reading import read_as, read_json
from palmette.designer.roles.researcher import REASONS, Draft, motivation_of, scene_tokens
from palmette.designer.roles.reviewer import review
from palmette.designer.scene import Scene, Told, quoted
from palmette.designer.session import Session, StepError, UnreadableError
from palmette.errors import GenomeError
from palmette.grammar.change import Change, problems, short, size_of
from palmette.grammar.genome import Genome
from palmette.grammar.json_gbnf import json_gbnf
from palmette.grammar.language import Language
from palmette.grammar.revision import numbered
from palmette.grammar.revision_schema import answer_schema
from palmette.grammar.rules import Site, a_sort, listed_effects
from palmette.grammar.units import (
    Partial,
    begun,
    fill,
    open_places,
    opened,
    shown,
    standing,
    unit_schema,
)
from palmette.records.thought import Origin
from palmette.search.archive import Archive, Entry
from palmette.search.proposers._base import Proposal, Turn
from palmette.search.proposers._designer import (
    SMALL_CONTEXT,
    TOURNAMENT,
    Designer,
    proposal,
    tried,
)

Mode = Literal["mutation", "crossover", "scratch"]
MODES: dict[Mode, float] = {"mutation": 0.80, "crossover": 0.15, "scratch": 0.05}
KINDS: dict[Mode, Literal["replace", "graft", "rewrite"]] = {
    "mutation": "replace",
    "crossover": "graft",
    "scratch": "rewrite",
}
ROLLBACKS = 3  # of one unit each, before a proposal is given up
UNITS = 24  # that a model is asked for; what is open then is completed with the fewest nodes
NODES = 32  # of a genome
UNIT_TOKENS = 192

SYSTEM = """\
You design neural architectures in a small typed language. A model is built from a genome, trained \
for a short while and scored between 0 (chance) and 1; parameters and training are the same for \
all, so only the architecture counts."""
TASKS: dict[Mode, str] = {
    "mutation": "Plan to redesign one part of the genome: the place that you name is built anew.",
    "crossover": "Plan to redesign one part of the genome after the other genome: the place that "
    "you name is built anew.",
    "scratch": "Plan a new genome that is built from scratch, better than this one.",
}
PLAN = """\
Answer with one JSON object:
{{"motivation": what will be built and why it may help, in one or two sentences,{at}
 "change": the change of the score that you expect, such as 0.01,
 "give_or_take": how far off that may be, such as 0.02}}"""
UNIT = """\
Fill the place HERE with one node; its own children are filled afterwards. Answer with one JSON \
object: {"node": NAME, knob: value, ...}, and for a node with a list of children how many it gets, \
such as {"node": "seq", "parts": 2}."""


class Planned(BaseModel):
    """What a planner answers; `at` is the place that is built anew."""

    model_config = ConfigDict(frozen=True)

    motivation: str
    at: str = ""
    change: float = Field(allow_inf_nan=False)
    give_or_take: float = Field(allow_inf_nan=False)


@dataclass(frozen=True)
class Work:
    """One design under way; `site` is what becomes of another part of the parent."""

    mode: Mode
    session: Session
    scene: Scene
    told: Told
    menu: Language
    archive: Archive
    turn: Turn
    plan: Planned
    site: Site


class Genesys(Designer):
    """Plans which part to redesign and has it built unit by unit, each checked as it comes."""

    name = "genesys"

    def design(self, session: Session, scene: Scene, archive: Archive, turn: Turn) -> Proposal:
        """A genome of which a planned part was built anew."""
        (mode,) = session.rng.choices(list(MODES), list(MODES.values()))
        other = _other(archive, scene, turn) if mode == "crossover" else None
        if mode == "crossover" and other is None:
            mode = "mutation"
        offered = _menu(session, scene, archive, other)
        told = scene.told(scene_tokens(self.studio.config))
        plan, site = self._plan(session, scene, told, mode, other)
        work = Work(mode, session, scene, told, offered, archive, turn, plan, site)
        root = scene.parent.genome.root
        start = (
            opened(root, site.path, offered, NODES)
            if site.path
            else begun(type(root), offered, NODES)
        )
        draft = self._built(work, start)
        if self.studio.config.steps > 3:
            try:
                review(session, draft, scene.parent, tried(archive), self.studio.config.feedback)
            except StepError as error:
                if error.call is not None and error.call.lasting:
                    raise
        parents = (scene.parent.genome.hash, *([other.candidate.genome] if other else []))
        return proposal(draft, archive, parents)

    def _plan(
        self, session: Session, scene: Scene, told: Told, mode: Mode, other: Entry | None
    ) -> tuple[Planned, Site]:
        root = scene.parent.genome.root
        (_, top), *below = numbered(root)
        places = dict(below) if mode != "scratch" else {}
        small = self.studio.config.context_tokens <= SMALL_CONTEXT
        text = {"type": "string", "maxLength": 240} if small else {"type": "string"}
        fields = {"motivation": text} | ({"at": {"enum": list(places)}} if places else {})
        figure = {"type": "number"}
        schema = answer_schema(**fields, change=figure, give_or_take=figure)

        def read(text: str) -> Planned:
            plan = read_as(Planned, text)
            if places and plan.at not in places:
                listed = ", ".join(places)
                raise UnreadableError([f"$.at: wanted one of {listed}, got {plan.at[:20]!r}"])
            return plan

        parts = [told.facts]
        if other is not None:
            parts.append(f"The other genome:\n{other.genome.text}")
        at = '\n "at": the place, such as "p3",' if places else ""
        parts.append(f"{TASKS[mode]} {PLAN.format(at=at)}")
        plan = session.ask(
            "researcher",
            (
                Message("system", f"{SYSTEM}\n\n{told.stable}"),
                Message("user", "\n\n".join(parts)),
            ),
            read,
            Shape("plan", schema, json_gbnf(schema)),
            cards=told.card_names,
            genomes=[*told.hashes, *([other.candidate.genome] if other else [])],
            content=lambda plan: {
                "mode": mode,
                "motivation": motivation_of(plan.motivation, mode),
                "at": plan.at,
                "change": plan.change,
                "give_or_take": plan.give_or_take,
            },
        )
        return plan, places.get(plan.at, top)

    def _built(self, work: Work, start: Partial) -> Draft:
        """The genome that comes of unit after unit. Raises `StepError` if it is given up."""
        held, undone = [start], 0
        notes: tuple[str, ...] = ()
        while True:
            if not open_places(held[-1]) or len(held) > UNITS:
                draft = _draft(work, held[-1])
                faults = _against(work, draft)
                work.session.check(faults, {"genome": draft.genome.hash, "edit": draft.edited.text})
                if not faults:
                    return draft
            else:
                try:
                    held.append(self._unit(work, held[-1], notes))
                    notes = ()
                    continue
                except StepError as error:
                    if error.call is not None:
                        raise
                    faults = [str(error)]
            undone += 1
            if undone > ROLLBACKS or len(held) == 1:
                raise StepError("builder", f"given up after {undone} dead ends: {faults[0]}")
            last = shown(held.pop())
            notes = (f"This way led nowhere, so take another node:\n{last}", *faults)

    def _unit(self, work: Work, partial: Partial, notes: Sequence[str]) -> Partial:
        """The tree with one unit more. Raises `StepError` if no legal one comes."""
        place = open_places(partial)[0]
        kept = f" that is {listed_effects(place.required)}" if place.required else ""
        names = ", ".join(cls.name for cls in standing(partial, work.menu))
        parts = [
            f"The genome before: {work.scene.parent.genome.text}",
            f"The plan:\n{quoted(work.plan.motivation, 400)}",
            f"Built so far: {shown(partial)}",
            f"HERE takes {a_sort(place.sort)}{kept}: {names}",
            *notes,
            UNIT,
        ]
        schema = unit_schema(partial, work.menu, self.studio.config.context_tokens > SMALL_CONTEXT)

        def read(text: str) -> Partial:
            try:
                return fill(partial, read_json(text), work.menu)
            except GenomeError as error:
                raise UnreadableError([fault.message for fault in error.faults]) from error

        return work.session.ask(
            "builder",
            (
                Message("system", f"{SYSTEM}\n\nThe language:\n{described(work.menu)}"),
                Message("user", "\n".join(parts)),
            ),
            read,
            Shape("unit", schema, json_gbnf(schema)),
            genomes=(work.scene.parent.genome.hash,),
            content=lambda more: {"built": shown(more)},
            most_tokens=UNIT_TOKENS,
            origin=lambda more: _origin(work, more),
        )


def _draft(work: Work, partial: Partial) -> Draft:
    """What was built, as an edit of the parent; what is open is completed with the fewest nodes."""
    site = work.site
    new = next(node for path, node in partial.tree.walk() if path == site.path)
    change = Change(site, new, f"{short(site.node)} -> {short(new)}")
    edited = change.made(work.scene.parent.genome.root, KINDS[work.mode])
    expected, half = _bounded(work.plan.change), abs(_bounded(work.plan.give_or_take))
    return Draft(
        genome=Genome(edited.node),
        edited=edited,
        motivation=motivation_of(work.plan.motivation, edited.text),
        change=expected,
        low=_bounded(expected - half),
        high=_bounded(expected + half),
        data={"mode": work.mode, "at": work.plan.at},
    )


def _against(work: Work, draft: Draft) -> list[str]:
    """Why a genome that was built would get no trial; empty if it would."""
    root = work.scene.parent.genome.root
    if faults := list(problems(draft.edited, root, work.menu, max(NODES, size_of(root)))):
        return faults
    reason = work.turn.reason_against(draft.genome)
    return [REASONS.get(reason, f"no trial: {reason}")] if reason else []


def _origin(work: Work, partial: Partial) -> Origin | None:
    """Where the parts come from that the parent has not, once nothing is open any more."""
    if open_places(partial):
        return None
    child, parent = _draft(work, partial).genome.root, work.scene.parent.genome.root
    genomes = [genome.root for genome in work.told.genomes]
    return attribute(child, parent, work.told.cards, genomes, work.archive.language).origin


def _other(archive: Archive, scene: Scene, turn: Turn) -> Entry | None:
    """The second parent of a crossover: a tournament's winner among all that was found."""
    found = [
        entry
        for entry in archive.entries
        if entry.candidate.role == "found"
        and entry.score is not None
        and entry.genome != scene.parent.genome
    ]
    return archive.tournament(found, TOURNAMENT, turn.rng) if found else None


def _menu(session: Session, scene: Scene, archive: Archive, other: Entry | None) -> Language:
    """What the scene offers and what the other parent is made of."""
    if other is None:
        return scene.menu
    keep = {*scene.menu.nodes, *(type(node) for _, node in other.genome.root.walk())}
    return menu(archive.language, keep, len(keep), session.rng)


def _bounded(value: float) -> float:
    return max(-1.0, min(1.0, value))

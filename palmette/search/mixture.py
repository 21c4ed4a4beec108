"""Who proposes next, of the proposers that can.

`turns` gives all of them equally many proposals: each in turn a round over the islands. `bandit`
prefers those whose children gain more over their parents for what they cost.

A designer is passed over while a thought of its own is under way, and while it rests because its
endpoint does not answer. A proposer may come to its end: nothing new is left, the models' budget is
spent, the key is refused.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from palmette.designer.bandit import Pull, choose
from palmette.designer.money import Ledger
from palmette.ladder.results import Ascent, score_at
from palmette.ladder.scales import Scale
from palmette.records import Thought
from palmette.search.designs import SILENT, Designs
from palmette.search.proposers import Proposer
from palmette.search.thinking import Came

FRUITLESS = 100  # proposals in a row that came to nothing, before a proposer has ended
PATIENCE = 8  # times in a row without an answer, if nobody else proposes
REST_SECONDS = 1.0  # after the first of them, if nobody else proposes; doubled each time
LONGEST_REST_SECONDS = 60.0


class Mixture:
    """The proposers of a campaign and their turns; `ended` says who came to an end, and why.

    `wakes` says by the clock when somebody may be asked again, if all that are left rest.
    """

    def __init__(
        self, proposers: Sequence[Proposer], designs: Designs, ledger: Ledger | None = None
    ) -> None:
        self.proposers = tuple(proposers)
        self.ended: dict[str, str] = {}
        self.wakes: float | None = None
        self._designs = designs
        self._book = designs.book
        self._scale = designs.book.setting.scale
        self._ledger = ledger
        self._rested: dict[str, float] = {}  # until when, by the clock
        self._check_budget()

    @property
    def over(self) -> bool:
        """Whether nobody will propose any more."""
        return all(own.name in self.ended for own in self.proposers)

    def island(self, name: str) -> int:
        """Where a proposer's next proposal belongs: each goes round the islands by itself."""
        return self._designs.asked(name) % self._scale.islands

    def turn(self, number: int, thinkers: bool) -> Proposer | None:
        """Who makes proposal `number`; without `thinkers` nobody who thinks.

        None if all who could are thinking, rest or have ended.
        """
        self._check_budget()
        self.wakes = None
        busy = {asked.proposer for asked in self._designs.open.values()}
        able = [own for own in self.proposers if own.name not in {*self.ended, *busy}]
        able = [own for own in able if thinkers or not own.thinks]
        awake = [own for own in able if not self._designs.rests(own.name)]
        if not awake and not busy:
            awake = self._awakened(able)
        names = list(dict.fromkeys(own.name for own in awake))
        if not names:
            return None
        chosen = names[0] if len(names) == 1 else self._chosen(names, number)
        return next(own for own in awake if own.name == chosen)

    def came_to_nothing(self, came: Came, name: str) -> None:
        """Takes in why a proposal was declined: its proposer may rest, or end."""
        if came.failing == "over budget":
            self._budget_spent()
        elif came.lasting:
            self.ended[name] = came.reason
        elif came.failing in SILENT:
            pause = REST_SECONDS * 2 ** (self._designs.silences(name) - 1)
            self._rested[name] = time.monotonic() + min(pause, LONGEST_REST_SECONDS)
        elif self._designs.fruitless(name) >= FRUITLESS:
            told = f"{FRUITLESS} proposals in a row came to nothing, the last: {came.reason}"
            self.ended[name] = told

    def _chosen(self, names: Sequence[str], number: int) -> str:
        if self._book.campaign.config.mix == "bandit":
            declined = {own.proposal: own.proposer for own in self._designs.declined}
            seen = pulls(self._book.climbers, declined, self._designs.thoughts(), self._scale)
            return by_gain(names, seen, random.Random(f"{self._book.setting.seed}/{number}/mix"))
        asked = {name: self._designs.asked(name) for name in names}
        return by_turns(names, asked, self._scale.islands)

    def _awakened(self, able: Sequence[Proposer]) -> list[Proposer]:
        """When nobody else proposes, a rest ends by the clock, and for good after a while."""
        for own in able:
            if (silences := self._designs.silences(own.name)) >= PATIENCE:
                last = next(d for d in reversed(self._designs.declined) if d.proposer == own.name)
                told = f"it had no answer {silences} times in a row, the last: {last.reason}"
                self.ended[own.name] = told
        able = [own for own in able if own.name not in self.ended]
        now = time.monotonic()
        self.wakes = min((self._rested.get(own.name, now) for own in able), default=None)
        return [own for own in able if self._rested.get(own.name, now) <= now]

    def _check_budget(self) -> None:
        budget = self._ledger.budget if self._ledger else None
        if self._ledger and budget and (self._ledger.spent or self._designs.spent == budget.text):
            self._budget_spent()

    def _budget_spent(self) -> None:
        budget = self._ledger.budget if self._ledger else None
        told = budget.text if budget else "its own"
        self._designs.spend(told)
        reason = f"the models' budget of {told} is spent"
        for own in self.proposers:
            if own.thinks:
                self.ended.setdefault(own.name, reason)


def by_turns(names: Sequence[str], asked: Mapping[str, int], islands: int) -> str:
    """The proposer that is behind the others in whole rounds, of equal ones the first.

    `asked` counts the proposals that each was asked for, whatever came of them.

    >>> order, asked = [], {"evolution": 0, "llm": 0}
    >>> for _ in range(6):
    ...     order.append(by_turns(["evolution", "llm"], asked, islands=2))
    ...     asked[order[-1]] += 1
    >>> order
    ['evolution', 'evolution', 'llm', 'llm', 'evolution', 'evolution']
    """
    return min(names, key=lambda name: asked.get(name, 0) // islands)


def by_gain(names: Sequence[str], pulls: Mapping[str, Sequence[Pull]], rng: random.Random) -> str:
    """The proposer that a bandit draws by what earlier proposals brought and cost."""
    return choose({name: pulls.get(name, ()) for name in names}, rng)


def pulls(
    climbers: Iterable[Ascent],
    declined: Mapping[int, str],
    thoughts: Iterable[Thought],
    scale: Scale,
) -> dict[str, list[Pull]]:
    """What each proposer's proposals brought and cost, in the order of the proposals.

    A gain is the child's first-rung score less its parent's; None if every rate failed, or if the
    proposal was `declined` (its number, its proposer). The cost is in seconds, of workers at the
    first rung and of endpoints. A proposal whose sweep goes on is not among them.
    """
    climbers = list(climbers)
    thought: dict[int, float] = defaultdict(float)
    for own in thoughts:
        thought[own.proposal] += own.seconds
    scores = {
        c.candidate.genome: score_at(c, 0, scale) for c in climbers if not c.candidate.replica
    }
    found: list[tuple[int, str, Pull]] = [
        (number, proposer, Pull(None, thought[number])) for number, proposer in declined.items()
    ]
    for climber in climbers:
        child = climber.candidate
        swept = climber.at(0)
        if child.proposer is None or child.proposal is None or child.role != "found" or not swept:
            continue
        if any(trial.state in ("queued", "running") for trial in swept):
            continue
        own_score = scores[child.genome]
        parent = scores.get(child.parents[0]) if child.parents else None
        gain = own_score.mean - parent.mean if own_score and parent else None
        worked = sum(trial.result.wall_seconds for trial in swept if trial.result is not None)
        pull = Pull(gain, worked + thought[child.proposal])
        found.append((child.proposal, child.proposer, pull))
    by_proposer: dict[str, list[Pull]] = defaultdict(list)
    for _, proposer, pull in sorted(found, key=lambda item: item[0]):
        by_proposer[proposer].append(pull)
    return dict(by_proposer)

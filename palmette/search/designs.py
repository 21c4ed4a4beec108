"""What the designers of a campaign were asked and what came of it, beside the book.

A proposal that is thought of begins with an event, `designer asked`, which fixes what the designer
may know: the candidates, trials and thoughts there are at that moment. It ends with a candidate, or
with another event, `designer declined`. What has neither when a campaign is taken up again was
interrupted; it is asked for again, under its number and with the same knowledge, so that the tree
is the same. The thoughts of the first attempt stay in the store, and their price is counted, but no
designer sees them: the second event lists them as `lost`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from palmette.designer.endpoint import Failing
from palmette.records import Candidate, Event, Thought
from palmette.search.book import Book

DECLINED = "designer declined"
ASKED = "designer asked"
RESTS = "designer rests"
SPENT = "models' budget spent"
LONGEST_REST = 31  # proposals of others
SILENT: frozenset[Failing] = frozenset({"unreachable", "timeout", "rate limited", "server error"})


@dataclass(frozen=True)
class Asked:
    """A designer was asked for proposal `proposal` on an island.

    It knows the first `candidates` and `thoughts` that there are (the counts), and the trials up to
    number `trials`, of which those in `running` had not ended.
    """

    proposal: int
    proposer: str
    island: int
    candidates: int
    thoughts: int
    trials: int
    running: tuple[int, ...]

    @classmethod
    def of(cls, event: Event) -> Asked:
        """Reads an event back."""
        detail = {name: event.detail[name] for name in cls.__dataclass_fields__}
        return cls(**{**detail, "running": tuple(detail["running"])})


@dataclass(frozen=True)
class Declined:
    """A proposal that came to nothing; `failing` says how, if it was the endpoint."""

    proposal: int
    proposer: str
    reason: str
    failing: Failing | None

    @property
    def silent(self) -> bool:
        """Whether the endpoint did not answer, which it may do again."""
        return self.failing in SILENT


@dataclass
class Designs:
    """The designers' side of `book`; like the book it writes every change first.

    `open` holds the proposals that were asked for and have not come.
    """

    book: Book
    open: dict[int, Asked] = field(default_factory=dict)
    declined: list[Declined] = field(default_factory=list)
    spent: str | None = None  # the models' budget that is known to be spent
    _thoughts: list[Thought] = field(default_factory=list)  # lost ones too
    _lost: set[int] = field(default_factory=set)  # places among the thoughts
    _last: int = -1  # the highest number of a proposal, candidates aside

    def __post_init__(self) -> None:
        self._thoughts = self.book.campaign.thoughts()
        for event in self.book.campaign.events():
            self._read(event)
        candidates = [c.proposal for c in self.book.candidates if c.proposal is not None]
        self.open = {n: own for n, own in self.open.items() if n not in candidates}
        self._last = max([self._last, *candidates, *(t.proposal for t in self._thoughts)])
        self._began = len(self.declined)
        self._cut = {number: self._interrupted(own) for number, own in self.open.items()}
        self._lost.update(*self._cut.values())

    def number(self) -> int:
        """A number that no proposal has: with no designers, how many there have been."""
        candidates = [c.proposal for c in self.book.candidates if c.proposal is not None]
        return max([self._last, *candidates]) + 1

    def thoughts(self, first: int | None = None) -> tuple[Thought, ...]:
        """The thoughts that count, of the first so many or of all."""
        held = enumerate(self._thoughts[:first])
        return tuple(thought for place, thought in held if place not in self._lost)

    @property
    def every_thought(self) -> tuple[Thought, ...]:
        """Those too that were lost with a session, for they were paid."""
        return tuple(self._thoughts)

    def keep(self, thought: Thought, prompt: str | None) -> None:
        """A thought has ended."""
        self.book.campaign.add_thought(thought, prompt)
        self._thoughts.append(thought)

    def ask(self, number: int, proposer: str, island: int) -> Asked:
        """A designer is asked for a proposal, and knows what there is by now."""
        running = [t.trial for t in self.book.trials.values() if t.state == "running"]
        asked = Asked(
            proposal=number,
            proposer=proposer,
            island=island,
            candidates=len(self.book.candidates),
            thoughts=len(self._thoughts),
            trials=max(self.book.trials, default=0),
            running=tuple(running),
        )
        self._ask(asked, lost=[])
        return asked

    def ask_again(self, asked: Asked) -> None:
        """A designer is asked for a proposal that was interrupted with an earlier session."""
        self._ask(asked, lost=self._cut.pop(asked.proposal))

    def decline(
        self, number: int, proposer: str, reason: str, failing: Failing | None = None
    ) -> None:
        """A proposal came to nothing; `failing` says how, if it was the endpoint."""
        own = Declined(number, proposer, reason, failing)
        self.book.note(DECLINED, **asdict(own))
        self._decline(own)
        if own.silent:
            rest = self._rest(proposer)
            self.book.note(RESTS, proposer=proposer, proposals=rest, reason=reason)

    def came(self, asked: Asked) -> None:
        """A proposal has become a candidate."""
        del self.open[asked.proposal]

    def spend(self, budget: str) -> None:
        """The models' budget is spent; told once a budget."""
        if self.spent != budget:
            self.spent = budget
            self.book.note(SPENT, budget=budget)

    def silences(self, proposer: str) -> int:
        """How many times in a row its endpoint did not answer by now."""
        row = 0
        came = max((c.proposal or 0 for c in self._own(proposer)), default=-1)
        for own in reversed(self.declined):
            if own.proposer == proposer:
                if not own.silent or own.proposal < came:
                    break
                row += 1
        return row

    def fruitless(self, proposer: str) -> int:
        """How many of its latest proposals in a row came to nothing in this session, whyever."""
        came = max((c.proposal or 0 for c in self._own(proposer)), default=-1)
        now = self.declined[self._began :]
        return sum(own.proposer == proposer and own.proposal > came for own in now)

    def rests(self, proposer: str) -> bool:
        """Whether others go first since its endpoint does not answer: one proposal the first time,
        then three, seven, up to `LONGEST_REST`.
        """
        own = [d for d in self.declined if d.proposer == proposer]
        return bool(own) and self.number() - own[-1].proposal <= self._rest(proposer)

    def asked(self, proposer: str) -> int:
        """How many proposals it was asked for, whatever came of them."""
        came = sum(1 for _ in self._own(proposer))
        declined = sum(own.proposer == proposer for own in self.declined)
        return came + declined + sum(own.proposer == proposer for own in self.open.values())

    def _own(self, proposer: str) -> Iterable[Candidate]:
        found = (c for c in self.book.candidates if c.role == "found")
        return (c for c in found if c.proposer == proposer)

    def _rest(self, proposer: str) -> int:
        return min((1 << self.silences(proposer)) - 1, LONGEST_REST)

    def _ask(self, asked: Asked, lost: list[int]) -> None:
        self.book.note(ASKED, **asdict(asked), lost=lost)
        self._lost |= set(lost)
        self.open[asked.proposal] = asked
        self._last = max(self._last, asked.proposal)

    def _decline(self, declined: Declined) -> None:
        self.declined.append(declined)
        self.open.pop(declined.proposal, None)
        self._last = max(self._last, declined.proposal)

    def _read(self, event: Event) -> None:
        detail = event.detail
        if event.kind == ASKED:
            asked = Asked.of(event)
            self.open[asked.proposal] = asked
            self._lost |= set(detail["lost"])
            self._last = max(self._last, asked.proposal)
        elif event.kind == DECLINED:
            self._decline(Declined(**detail))
        elif event.kind == SPENT:
            self.spent = detail["budget"]

    def _interrupted(self, asked: Asked) -> list[int]:
        """The thoughts of a proposal that was interrupted.

        If nothing else was being thought of, all since it was asked for are its own: designers also
        look back at earlier proposals. Otherwise those that bear its number.
        """
        alone = len(self.open) == 1
        return [
            place
            for place, thought in enumerate(self._thoughts)
            if place >= asked.thoughts
            and place not in self._lost
            and (
                thought.proposal == asked.proposal or (alone and thought.proposal < asked.proposal)
            )
        ]

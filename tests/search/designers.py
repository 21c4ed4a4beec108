"""A designer small enough to see through, and campaigns that it takes part in."""

import threading
from dataclasses import replace

from palmette.designer.endpoint import Message
from palmette.designer.money import Ledger, ModelBudget
from palmette.designer.session import Session, StepError, Studio, UnreadableError
from palmette.records import DesignerConfig
from palmette.search.budget import Budget
from palmette.search.grow import grow
from palmette.search.proposers import NoProposalError, Proposer, proposers
from palmette.search.proposers.evolution import Evolution
from palmette.search.start import open_campaign, schedule
from palmette.store import Store
from palmette.testing.scripted import Scripted
from palmette.train.executor import Inline
from tests.search.test_scheduler import made_up

CONFIG = DesignerConfig(models=("scripted",), retries=0)


class Tiny(Proposer):
    """Tells a model twice all that it knows, and proposes what evolution would if it says yes."""

    name = "tiny"
    thinks = True

    def __init__(self, studio):
        self.studio = studio

    def ask(self, archive, turn):
        session = Session(self.studio, turn.number, self.name, "scripted", turn.rng)
        known = [(e.candidate.genome, e.score) for e in archive.entries]
        earlier = [(t.proposal, t.prompt, t.answer) for t in archive.thoughts]
        told = f"proposal {turn.number}: {known} {earlier}"
        try:
            for role in ("researcher", "reviewer"):
                session.ask(role, [Message("user", f"{role} {told}")], _yes)
        except StepError as error:
            lasting = error.call is not None and error.call.lasting
            raise NoProposalError(str(error), lasting) from error
        return Evolution().ask(archive, turn)


class Other(Tiny):
    """Another of its kind."""

    name = "other"


def _yes(text):
    if text != "yes":
        raise UnreadableError([f"wants yes, got {text}"])
    return text


def known(monkeypatch, *classes):
    for cls in classes or (Tiny,):
        monkeypatch.setitem(proposers._scan(), cls.name, cls)


def among(ground, *names, mix="turns"):
    update = {"proposers": names, "designer": CONFIG, "mix": mix}
    return replace(ground, config=ground.config.model_copy(update=update))


def yes(model, request):
    return "yes"


class Outcome:
    """What a campaign left in its store, and its scheduler."""

    def __init__(self, campaign, scheduler):
        self.candidates = campaign.candidates()
        self.trials = campaign.trials()
        self.events = campaign.events()
        self.thoughts = campaign.thoughts()
        self.state = campaign.state
        self.scheduler = scheduler

    def of(self, kind):
        return [event.detail for event in self.events if event.kind == kind]

    def numbers(self, proposer):
        return [c.proposal for c in self.candidates if c.proposer == proposer]


def run(
    ground,
    path,
    budget,
    answer=yes,
    runner=made_up,
    workers=1,
    tokens=None,
    executor=None,
    beat=None,
):
    """Grows a campaign; a finished one is returned, whatever ended it goes on."""
    endpoint = answer if isinstance(answer, Scripted) else Scripted(answer)
    with Store(f"sqlite:///{path}") as store:
        campaign = open_campaign(store, ground)
        with campaign.lease("test") as lease:
            campaign.requeue_running()
            cap = ModelBudget.parse(tokens) if tokens else None
            spent = sum(t.tokens_in + t.tokens_out for t in campaign.thoughts())
            studio = Studio(endpoint, ground.config.designer, Ledger(cap, spent_tokens=spent))
            scheduler = schedule(campaign, ground, Budget.parse(budget), workers, studio)
            with executor or Inline(runner) as trains:
                grow(scheduler, trains, beat or lease.beat)
        return Outcome(campaign, scheduler)


def wait_for(event: threading.Event):
    assert event.wait(60), "what a test waits for never came"

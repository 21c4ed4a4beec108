"""A grown campaign and exams over it, with trials that are made up in no time."""

import hashlib
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

from palmette.exam.examine import Options, open_exam, sit
from palmette.exam.recipe import looking, recipe_of
from palmette.ladder.scales import scale
from palmette.records import TaskMetrics
from palmette.search.budget import Budget
from palmette.search.grow import grow
from palmette.search.start import Plan, open_campaign, prepare, schedule
from palmette.store import Store
from palmette.train.executor import Inline
from tests.ladder.made import result

SEALED = ("arithmetic", "grid", "lorenz")
SECRET = "5a" * 32


def share(text):
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32 - 0.5


def task(score, chance=8.0):
    bits = chance * (1 - score)
    return TaskMetrics(
        loss_nats=max(0.0, bits * 0.693),
        bits=bits,
        chance_bits=chance,
        accuracy=0.5,
        answer_tokens=100,
        score=score,
    )


def trained(better=(), by=0.1):
    """A runner: what a seed does to all alike, some noise, and genomes that are `by` better."""

    def run(spec, weights, tell):
        rate = -20 * abs(spec.learning_rate - 1.5e-2)
        common = 0.05 * share(f"{spec.seed}/{spec.replica}/{spec.tokens}")
        own = 0.3 + common + 0.01 * share(spec.key) + (by if spec.genome in better else 0.0)
        names = ("text", *SEALED) if spec.suite.startswith("exam/") else (spec.suite,)
        made = result(0.5, seconds=1.0)
        if weights is not None:
            weights.parent.mkdir(parents=True, exist_ok=True)
            weights.write_text(spec.key)
        return made.model_copy(
            update={
                "metrics": {n: task(0.6 if n == "text" else own) for n in names},
                "select": {n: task(own + rate) for n in names},
                "parameters": spec.parameters,
            }
        )

    return run


def inline(runner):
    """Whoever trains, for any campaign."""

    @contextmanager
    def made(campaign):
        with Inline(runner) as executor:
            yield executor

    return made


def tiny(looks=(4, 6), **changes):
    """A recipe for tests: two of the seedling's rungs, two rates, few seeds."""
    made = looking(recipe_of(scale("seedling")), looks)
    below = made.rungs[0].model_copy(update={"seeds": 2})
    return replace(
        made, rungs=(below, made.last), learning_rates=(1.5e-2, 3e-2), candidates=1, **changes
    )


def options(corpus, **changes):
    """An exam against two human baselines, none of them tuned."""
    fields = {
        "recipe": tiny(),
        "leave_out": ("llama", "deltanet", "mamba2", "hybrid"),
        "tuning_trials": 0,
        "corpus": corpus,
    }
    return Options(**{**fields, **changes})


def grown(store, name="main", genomes=6, **changes):
    """A campaign over one synthetic task.

    Its draw is the same every time: made-up trials follow from the secret, and of drawn ones some
    would find a difference where there is none, as often as alpha says.
    """
    plan = Plan(name=name, suite="parity", scale="seedling", kernel="torch", packed=False)
    ground = prepare(replace(plan, **changes))
    with patch("palmette.store.draws.secrets.token_hex", return_value=SECRET):
        campaign = open_campaign(store, ground)
    with campaign.lease("test") as lease, Inline(trained()) as executor:
        budget = Budget(f"{genomes}genomes", genomes=genomes)
        grow(schedule(campaign, ground, budget, 1), executor, lease.beat)
    return campaign


def held(path, corpus, runner=None, genomes=None, **changes):
    """An exam of the campaign `main` in the store at this path, as far as the runner lets it."""
    with Store(f"sqlite:///{path}") as store:
        opened = open_exam(store, store.campaign("main"), genomes, options(corpus, **changes))
        exam = sit(opened, inline(runner or trained()))
        return exam, store.campaign(exam.sitting).trials()

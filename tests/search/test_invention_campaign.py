"""A layer that a model writes in the middle of a campaign: adopted, trained, killed, continued,
exported.
"""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import palmette
from palmette import ops
from palmette.cli import app
from palmette.records import DesignerConfig
from palmette.search.budget import Budget
from palmette.search.grow import grow
from palmette.search.proposers._inventing import UNWRITTEN
from palmette.search.start import Plan, open_campaign, prepare, schedule, studio_for
from palmette.store import Store
from palmette.tasks import VOCABULARY
from palmette.testing.scripted import Scripted
from palmette.train.executor import Finished
from palmette.train.pool import Pool
from tests.ladder.made import result
from tests.search.layers import GOOD

LAYER = GOOD.format(name="once more")
AHEAD = LAYER.replace("at[:, None] >= at", "at[:, None] >= at - 1")
IDEA = json.dumps(
    {
        "motivation": "A decaying average of the past sums up all that was seen before.",
        "edit": {"move": "rewrite", "new": f"lm(stack(pre({UNWRITTEN.name}()), pre(glu())))"},
        "change": 0.02,
        "give_or_take": 0.02,
    }
)


class Partly:
    """Trains what an invention is part of in a real pool; the rest ends at once, with a made-up
    score.
    """

    workers = 1

    def __init__(self, strangers, weights):
        self.pool = Pool(1, None, strangers=strangers, weights=weights)
        self.progress = self.pool.progress
        self.held = None
        self.real = 0

    @property
    def free(self):
        return 0 if self.held else self.pool.free

    def submit(self, spec, weights=None):
        if "idea_" in spec.expression:
            self.real += 1
            self.pool.submit(spec, weights)
        else:
            self.held = spec.key

    def admit(self, stranger):
        self.pool.admit(stranger)

    def wait(self, timeout=None):
        if self.held is None:
            return self.pool.wait(timeout)
        key, self.held = self.held, None
        return [Finished(key, "done", result(0.5), None, 0.0)]

    def kill(self, key):
        self.pool.kill(key)

    def close(self):
        self.pool.close()


def grown(url, endpoint, until):
    """A session of the campaign, which is interrupted as soon as `until` says so."""
    config = DesignerConfig(models=("scripted",), steps=1, allow_code=True, knowledge=False)
    plan = Plan(scale="seedling", suite="parity", proposers=("llm",), designer=config)
    ground = prepare(plan)

    def watch(update):
        if until(update):
            raise KeyboardInterrupt

    with Store(url) as store:
        campaign = open_campaign(store, ground)
        campaign.requeue_running()
        studio = studio_for(campaign, endpoint)
        scheduler = schedule(campaign, ground, Budget.parse("1genomes"), 1, studio=studio)
        executor = Partly(campaign.strangers(), campaign.weights_directory)
        with pytest.raises(KeyboardInterrupt):
            grow(scheduler, executor, lambda: None, watch)
        executor.close()
        return executor, campaign.strangers(), campaign.thoughts(), invented(campaign.trials())


def invented(trials):
    return [trial for trial in trials if "idea_" in trial.spec.expression]


def test_an_invention_is_adopted_trained_killed_continued_and_exported(tmp_path):
    answers = iter([f"```python\n{AHEAD}```", f"```python\n{LAYER}```"])

    def answer(model, request):
        engineer = request.messages[0].text.startswith("You write one layer")
        return next(answers) if engineer else IDEA

    endpoint = Scripted(answer)
    url = f"sqlite:///{tmp_path / 'palmette.db'}"
    executor, kept, thoughts, trials = grown(url, endpoint, lambda now: invented(now.running))
    (stranger,) = kept
    assert stranger.source == LAYER
    assert executor.pool.protection is not None  # it came to a pool that was open until then
    steps = [(thought.role, thought.outcome) for thought in thoughts]
    assert [step for step in steps if step[0] == "engineer"] == [
        ("engineer", "invalid"), ("engineer", "fine"),
    ]  # fmt: skip
    assert any("future_change" in fault for thought in thoughts for fault in thought.faults)
    assert {trial.state for trial in trials} == {"queued"}

    ops.dismiss(stranger.name)  # as in a process that knows nothing of it
    assert stranger.name not in palmette.language()
    executor, kept, _, trials = grown(url, endpoint, lambda now: invented(now.finished))
    assert kept == [stranger]
    assert executor.real >= 1
    done = [trial for trial in trials if trial.state == "done"]
    assert done
    assert all(trial.result.curve for trial in done)
    assert len(endpoint.requests) == 3  # nobody was asked again

    ops.dismiss(stranger.name)
    target = tmp_path / "best.py"
    arguments = ["export", trials[0].spec.genome, "-o", str(target), "--storage", url]
    exported = CliRunner().invoke(app, arguments)
    assert exported.exit_code == 0, exported.output
    assert LAYER in target.read_text("utf-8")
    ran = subprocess.run(
        [sys.executable, "-I", str(target)], capture_output=True, text=True, timeout=60
    )
    assert f"-> logits [1, 64, {VOCABULARY}]" in ran.stdout, ran.stderr
    assert "import palmette" not in target.read_text("utf-8")

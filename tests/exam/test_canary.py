"""The canary: saved weights in another process, and what must not pass for them."""

import shutil

import numpy as np
import pytest
import torch

import palmette
from palmette.exam import reload
from palmette.exam.canary import Model, listen, unheard, withheld
from palmette.exam.reload import RUNNER, Reloader
from palmette.model import build_at, fit
from palmette.ops.kernels.native import library
from palmette.records import Hypothesis, StoredTrial, TrialSpec, Verdict
from palmette.tasks import VOCABULARY, Split, suite
from palmette.train.evaluate import evaluate
from palmette.train.executor import Inline, Member
from palmette.train.loop import run_trial
from palmette.train.pack import Around, run_pack
from palmette.train.pool import Pool
from palmette.train.seeding import NUMERICS, weights_seed
from palmette.train.warm import Kernels, Warm

GENOME = palmette.parse("stack(pre(lin()), pre(glu()))")
native = pytest.mark.skipif(library.unavailable() is not None, reason="no compiler")


def spec(**changed):
    fields = {
        "genome": GENOME.hash,
        "expression": GENOME.text,
        "rung": "last",
        "rung_digest": "none",
        "parameters": 20_000,
        "tokens": 4 * 4 * 63,
        "batch_size": 4,
        "length": 63,
        "evaluation_tokens": 500,
        "suite": "recall",
        "suite_digest": suite("recall").digest(None),
        "seed": 0,
        "learning_rate": 1e-2,
        "numerics": NUMERICS,
    }
    return TrialSpec(**{**fields, **changed})


def stored(own, result, label="mine"):
    trial = StoredTrial(trial=1, key=own.key, spec=own, state="done", result=result)
    return Model(label, trial)


def trained(folder, **changed):
    own = spec(**changed)
    return stored(own, run_trial(own, None, folder / f"{own.key}.pt"), f"seed {own.seed}")


def endpoint(metrics):
    return float(np.mean([one.score for one in metrics.values()]))


class Here:
    """The reloader without a server."""

    def __init__(self):
        self._inner = Reloader(Warm(Around(), Kernels.__new__(Kernels)))

    def __call__(self, *arguments):
        return self._inner(*arguments)


def heard(models, folder, executor=None):
    rows = []
    listen(models, folder, executor or Inline(Here()), endpoint, rows.append)
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="module")
def pair(folder):
    return [trained(folder, seed=seed) for seed in (0, 1)]


def test_another_process_has_the_trainers_bits_and_an_untrained_copy_others(pair, folder):
    with Pool(1, None, runner=RUNNER) as pool:
        rows = heard(pair, folder, pool)
    assert [(row.label, row.seed) for row in rows] == [("seed 0", 0), ("seed 1", 1)]
    for row, model in zip(rows, pair, strict=True):
        assert row.passed, row.reason
        assert row.reason is None
        assert row.told == row.reloaded == endpoint(model.result.metrics)
        assert row.fresh != row.reloaded


@native
def test_a_member_of_a_pack_has_the_same_bits_alone(tmp_path):
    specs = [spec(kernel="native-packed", seed=seed) for seed in (0, 1)]
    members = [Member(own, tmp_path / f"{own.key}.pt") for own in specs]
    results = dict(run_pack(members, Around()))
    models = [stored(own, results[own.key]) for own in specs]
    assert all(model.result.members == 2 for model in models)
    assert all(row.passed for row in heard(models, tmp_path))


def test_one_changed_bit_is_heard(pair, folder, tmp_path):
    model = pair[0]
    name = f"{model.trial.key}.pt"
    held = torch.load(folder / name, weights_only=True)
    largest = max(held, key=lambda name: held[name].numel())
    held[largest].view(-1)[:64] += 1e-3
    torch.save(held, tmp_path / name)
    (row,) = heard([model], tmp_path)
    assert not row.agrees
    assert row.differs
    assert "in another process, the trainer told" in row.reason


def test_files_that_changed_places_are_heard(pair, folder, tmp_path):
    one, other = (f"{model.trial.key}.pt" for model in pair)
    shutil.copy(folder / one, tmp_path / other)
    shutil.copy(folder / other, tmp_path / one)
    rows = heard(pair, tmp_path)
    assert [row.agrees for row in rows] == [False, False]
    assert rows[0].reloaded == rows[1].told


def test_a_file_of_another_model_is_heard(pair, tmp_path):
    other = build_at(GENOME, fit(GENOME, 30_000, VOCABULARY, 63).place, 0)
    torch.save(other.state_dict(), tmp_path / f"{pair[0].trial.key}.pt")
    (row,) = heard(pair[:1], tmp_path)
    assert row.reason.startswith("the file holds another model's weights: size mismatch")
    assert (row.reloaded, row.fresh, row.passed) == (None, None, False)


@pytest.mark.parametrize(
    ("contents", "told"),
    [(None, "there is no file of its weights"), (b"half a fi", "is damaged")],
)
def test_a_file_that_is_gone_or_damaged_fails_and_is_not_skipped(pair, tmp_path, contents, told):
    if contents is not None:
        (tmp_path / f"{pair[0].trial.key}.pt").write_bytes(contents)
    (row,) = heard(pair[:1], tmp_path)
    assert not row.passed
    assert told in row.reason
    assert row.reloaded is None


def test_a_link_to_another_file_is_none(pair, folder, tmp_path):
    name = f"{pair[0].trial.key}.pt"
    (tmp_path / name).symlink_to(folder / name)
    (row,) = heard(pair[:1], tmp_path)
    assert row.reason == "there is no file of its weights"


def test_a_trainer_that_scored_weights_it_had_not_trained_is_heard(pair, folder):
    """What Genesys' released snapshot does: trained and saved, then a new model is evaluated."""
    own = pair[0].trial.spec
    mixture = suite(own.suite)
    place = fit(GENOME, own.parameters, VOCABULARY, mixture.context(own.length)).place
    untrained = build_at(GENOME, place, weights_seed(own)).eval()
    metrics = evaluate(
        untrained, mixture, None, Split.SCORE, own.length, own.evaluation_tokens, own.evaluated
    )
    told = pair[0].result.model_copy(update={"metrics": metrics})
    (row,) = heard([stored(own, told)], folder)
    assert not row.agrees


def test_a_trainer_that_never_trained_is_heard(tmp_path):
    model = trained(tmp_path, seed=2, learning_rate=0.0)
    (row,) = heard([model], tmp_path)
    assert row.reason == "the file holds the weights that the trial began with: never trained"


def test_a_canary_that_never_loads_the_file_is_heard(pair, folder, monkeypatch):
    monkeypatch.setattr(reload, "load", lambda model, held, begun: None)
    (row,) = heard(pair[:1], folder)
    assert not row.agrees
    assert not row.differs
    assert row.fresh == row.reloaded


def test_untrained_figures_all_along_are_heard(pair, folder, monkeypatch):
    """Trainer and canary with the same fault agree; then an untrained copy must give it away."""
    monkeypatch.setattr(reload, "load", lambda model, held, begun: None)
    (first,) = heard(pair[:1], folder)
    own = pair[0].trial.spec
    untrained = reload.reload(own, folder / f"{own.key}.pt", None)
    (row,) = heard([stored(own, untrained)], folder)
    assert row.agrees
    assert not row.differs
    assert row.told == first.fresh
    assert row.reason == "an untrained copy has the same figures: the weights were never loaded"


def test_what_has_a_row_is_not_heard_again(pair, folder):
    (row,) = heard(pair[:1], folder)
    assert unheard(pair, [row]) == pair[1:]
    assert unheard(pair, []) == pair


def test_entries_that_share_a_trial_share_its_evaluation(pair, folder):
    both = [pair[0], Model("tuned to the default", pair[0].trial)]
    rows = heard(both, folder)
    assert [row.label for row in rows] == ["seed 0", "tuned to the default"]
    assert rows[0].reloaded == rows[1].reloaded


def test_a_failed_canary_withholds_every_verdict(pair, folder, tmp_path):
    asked = Hypothesis(number=1, candidate="a", league="open", claim="score", alpha=0.01)
    verdict = Verdict(
        hypothesis=asked, verified=True, kind="structural", p=0.001, look=1, seeds=4, contrasts=(),
        text=None, text_holds=True, carry=(), carries="carries", sentence="Verified.",
    )  # fmt: skip
    passed = heard(pair[:1], folder)
    assert withheld([verdict], passed) == (verdict,)
    (none,) = withheld([verdict], [*passed, *heard(pair[1:], tmp_path)])
    assert (none.verified, none.kind, none.p) == (False, None, 0.001)
    assert none.sentence == (
        "The canary failed (seed 1, seed 1: there is no file of its weights), so nothing of this "
        "exam counts. Else: Verified."
    )


class Losing(Inline):
    """Loses every trial."""

    def __init__(self):
        super().__init__(self._lose)
        self.begun = 0

    def _lose(self, spec, weights, tell):
        self.begun += 1
        raise MemoryError


def test_a_lost_process_is_tried_again_and_then_fails(pair, folder):
    executor = Losing()
    (row,) = heard(pair[:1], folder, executor)
    assert executor.begun == 3
    assert row.reason == "out of memory"
    assert not row.passed

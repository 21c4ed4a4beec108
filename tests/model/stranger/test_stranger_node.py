import importlib.util

import numpy as np
import pytest
import torch
from strange import VOCABULARY, described, layer, text

import palmette
from palmette import ops
from palmette.errors import TrialError, UserError
from palmette.grammar.node import effects
from palmette.grammar.types import Effect
from palmette.model import build_at, cost, fit
from palmette.model.export import export
from palmette.model.fingerprint import fingerprint, twins
from palmette.model.stranger.node import admit, expression, node_class, stand_ins, strangers_of
from palmette.ops._base import Widths
from palmette.records import Stranger


@pytest.fixture(scope="module")
def average():
    return described(text("average"), file="average.py")


@pytest.fixture(scope="module")
def gpt():
    return described(text("gpt"), file="gpt.py")


@pytest.fixture
def known():
    """Admits strangers for one test."""
    names = []

    def genome_of(stranger, run=False):
        names.append(stranger.name)
        admit(stranger, run)
        return palmette.parse(expression(stranger))

    yield genome_of
    for name in set(names):
        ops.dismiss(name)


def test_a_layer_stands_where_the_mixers_of_the_atlas_do(average, known):
    genome = known(average)
    assert genome.text == f"lm(stack(pre({average.name}()), pre(glu())))"
    assert strangers_of(genome) == (average,)


def test_only_what_was_shown_is_promised(average, known):
    kept = effects(known(average).root)
    assert Effect.CAUSAL in kept
    assert not kept & {Effect.STREAMABLE, Effect.LINEAR_TIME, Effect.TWICE_DIFFERENTIABLE}


@pytest.mark.parametrize("which", ["average", "gpt"])
def test_costs_are_those_of_what_is_built(which, known, request):
    genome = known(request.getfixturevalue(which), run=True)
    tolerance = 0.02 if which == "average" else 0.1  # a model has no hidden width to tune
    for wanted in (30_000, 100_000):
        place = fit(genome, wanted, VOCABULARY, 256).place
        model = build_at(genome, place)
        built = sum(p.numel() for p in model.parameters())
        assert built == cost(genome, place, 64).parameters == pytest.approx(wanted, rel=tolerance)
        logits = model(torch.zeros(2, 63, dtype=torch.long))
        assert logits.shape == (2, 63, VOCABULARY)


def test_fit_keeps_to_the_widths_of_all_parts(average, known):
    other = described(layer("d_model, n=3", "assert d_model % n == 0; "
                            "self.map = nn.Linear(d_model, d_model)"), file="three.py")  # fmt: skip
    known(average)
    known(other)
    genome = palmette.parse(f"stack(pre({average.name}()), pre({other.name}()), pre(glu()))")
    widths = {fit(genome, wanted).place.width for wanted in (5_000, 50_000, 500_000, 10**8)}
    assert all(width % 12 == 0 for width in widths)
    assert len(widths) == 4


def test_widths_that_do_not_go_together_are_told(average, known):
    fixed = described(layer("", "self.map = nn.Linear(50, 50)"), file="fixed.py")
    known(fixed)
    known(average)
    genome = palmette.parse(f"seq(pre({fixed.name}()), pre({average.name}()))")
    with pytest.raises(UserError, match=r"no width suits all parts .*_\w+ 50; average_\w+ multip"):
        fit(genome, 50_000)


def test_widths_hold_what_they_say():
    assert 24 in Widths(12, 12)
    assert 12 not in Widths(4, 16)
    assert 50 in Widths(only=(50,))
    assert 100 not in Widths(only=(50,))


def test_the_file_is_not_run_where_it_is_not_locked_up(average, known):
    genome = known(average)
    with pytest.raises(UserError, match=r"GatedAverage of average\.py is built in a locked-down"):
        palmette.build(genome, 30_000)
    with torch.device("meta"), stand_ins():
        model = palmette.build(genome, 30_000, VOCABULARY)
    built = sum(p.numel() for p in model.parameters())
    assert built == fit(genome, 30_000, VOCABULARY).parameters


def test_strangers_are_told_apart_by_what_stands_in_for_them(average, known):
    genome = known(average)
    other = described(text("average"), file="average.py", num_heads=2)
    prints = [fingerprint(one) for one in (genome, genome, known(other))]
    assert prints[0] == prints[1]
    assert not twins(prints[0], prints[2])
    doubled = palmette.parse(f"stack(pre({average.name}()), pre({average.name}()), pre(glu()))")
    assert not twins(prints[0], fingerprint(doubled))


def test_a_module_that_is_not_as_large_as_was_counted_is_refused(average, known):
    values = [v + 1 for v in average.parameters.values]
    wrong = average.parameters.model_copy(update={"values": tuple(values)})
    genome = known(average.model_copy(update={"parameters": wrong}), run=True)
    with pytest.raises(TrialError, match=r"GatedAverage has [\d,]+ parameters at width \d+ where"):
        palmette.build(genome, 30_000)


@pytest.mark.parametrize("which", ["average", "gpt", "duck"])
def test_the_exported_file_holds_the_text_and_computes_the_same(which, known, request, tmp_path):
    if which == "duck":
        body = "self.map = nn.Linear(cfg.n_embd, cfg.n_embd, bias=cfg.bias)"
        stranger = described(layer("cfg", body) + "# it's \\ \"\"\" odd '''\n", file="duck.py")
    else:
        stranger = request.getfixturevalue(which)
    genome = known(stranger, run=True)
    place = fit(genome, 30_000, VOCABULARY, 128).place
    path = export(genome, place, tmp_path / "best.py")
    spec = importlib.util.spec_from_file_location("exported", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    before, after = build_at(genome, place, seed=3), module.model()
    after.load_state_dict(before.state_dict())
    ids = torch.randint(VOCABULARY, (2, 63), generator=torch.Generator().manual_seed(0))
    assert torch.equal(before.eval()(ids), after.eval()(ids))
    assert f"what {stranger.file}, whose text it holds, imports" in path.read_text()


def test_the_record_survives_json(gpt):
    assert Stranger.model_validate_json(gpt.model_dump_json()) == gpt


def test_a_stranger_has_one_class(average):
    again = Stranger.model_validate_json(average.model_dump_json())
    assert node_class(again, run=False) is node_class(average, run=False)
    assert node_class(average, run=True) is not node_class(average, run=False)
    changed = average.model_copy(update={"summary": "Another."})
    assert node_class(changed, run=False) is not node_class(average, run=False)


def test_a_layer_that_runs_twice_is_no_twin_of_two_layers(average, known):
    known(average)
    once, twice, again = (
        fingerprint(palmette.parse(shape.replace("X", f"pre({average.name}())")))
        for shape in ("X", "repeat(2, X)", "seq(X, X)")
    )
    assert not twins(once, twice)
    assert not twins(once, again)
    assert not twins(twice, again)


def test_a_width_at_which_it_cannot_be_built_has_a_fingerprint_all_the_same(known):
    fixed = described(layer("", "self.map = nn.Linear(50, 50)"), file="fixed.py")
    assert np.isfinite(fingerprint(known(fixed))).all()

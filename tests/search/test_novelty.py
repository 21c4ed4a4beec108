from dataclasses import replace

import pytest

from palmette.ladder.scales import pocket
from palmette.model import atlas, parse
from palmette.search import novelty
from palmette.search.archive import Entry
from palmette.search.candidates import describe
from palmette.search.novelty import Screen
from palmette.search.start import Plan, prepare, screen_for
from palmette.tasks import VOCABULARY


@pytest.fixture(scope="module")
def screen():
    return Screen(pocket(), VOCABULARY, 256, [atlas.load("gpt2"), atlas.load("deltanet")])


def entry(screen, text, **more):
    genome = parse(text)
    return Entry(describe(genome, screen).model_copy(update=more), genome, None)


def test_a_new_genome_gets_its_trials(screen):
    known = [entry(screen, "stack(pre(lin(erase='beta')), pre(glu()))")]
    assert screen.reason_against(parse("stack(pre(lin(erase='beta2')), pre(glu()))"), known) is None


def test_another_spelling_of_the_same_text_is_known(screen):
    known = [entry(screen, "stack(pre(attn()), pre(glu()))")]
    spelled = parse("stack(stack(pre(attn(heads=4)), pre(glu(ratio=8/3))))")
    assert screen.reason_against(spelled, known) == "known"


def test_another_text_of_the_same_function_is_a_twin(screen):
    known = [entry(screen, "stack(pre(lin(heads=1)), pre(glu()))")]
    alike = parse("stack(pre(lin(heads=1, key_groups='one')), pre(glu()))")  # one head is all heads
    assert alike.hash != known[0].genome.hash
    assert screen.reason_against(alike, known) == "twin"
    placebo = [replace(known[0], candidate=known[0].candidate.model_copy(update={"replica": 1}))]
    assert screen.reason_against(alike, placebo) is None


def test_shared_weights_that_run_too_often_cost_too_much(screen):
    often = parse("repeat(4, pre(glu()), pre(attn()), pre(glu()))")
    assert screen.flops(often) > screen.scale.flops_limit * screen.reference_flops
    assert screen.reason_against(often, []) == "too costly"


def test_a_genome_too_coarse_to_be_sized_does_not_fit(screen):
    layers = ", ".join(f"pre(lin(heads={heads}, conv=0))" for heads in (1, 2, 4, 8))
    assert (
        screen.reason_against(parse(f"every(8, seq({layers}), pre(lin()))"), []) == "does not fit"
    )


def test_outputs_that_are_not_finite_are_refused(screen, monkeypatch):
    monkeypatch.setattr(novelty, "fingerprint_of", lambda genome: (float("nan"),) * 16)
    assert screen.reason_against(parse("stack(pre(attn()), pre(glu()))"), []) == "not finite"


def test_what_is_affordable_goes_by_the_root_too():
    """A root that loops costs more than all baselines; its children would all be too costly."""
    root = "seq2seq(hloop(stack(post(attn()), post(glu())), slow_cycles=3, segments=4))"
    ground = prepare(Plan(root=parse(root), suite="sudoku"))
    screen = screen_for(ground)
    assert screen.reference_flops == screen.flops(ground.root)
    baselines = [screen.flops(atlas.load(name)) for name in ground.scale.baselines]
    assert screen.reference_flops > 3 * max(baselines)
    child = parse(root.replace("post(glu())", "post(mlp())"))
    assert screen.reason_against(child, []) is None


def test_a_genome_that_mixes_no_tokens_gets_no_trial(screen):
    assert screen.reason_against(parse("stack(pre(glu()))"), []) == "mixes no tokens"
    assert screen.reason_against(parse("stack(pre(conv()), pre(glu()))"), []) is None

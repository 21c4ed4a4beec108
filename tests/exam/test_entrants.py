from collections import Counter
from dataclasses import replace

import pytest

import palmette
from palmette.exam.entrants import (
    Named,
    entries,
    hypotheses,
    misfits,
    ranked,
    sized,
    tolerance,
)
from palmette.exam.league import enters, rivals
from palmette.exam.recipe import recipe_of
from palmette.grammar.genome import Genome
from palmette.ladder.scales import HUMAN_BASELINES, scale
from palmette.model import atlas
from palmette.records import LedgerRow
from tests.exam.made import hypothesis
from tests.ladder.made import Made, candidate

RECIPE = recipe_of(scale("seedling"))
BASELINES = tuple(Named(atlas.load(name), name) for name in HUMAN_BASELINES)
GENOMES = (
    "lm(stack(pre(lin(erase='beta')), pre(mlp())))",
    "lm(stack(pre(conv()), pre(glu())))",
    "lm(repeat(3, pre(lin()), pre(glu())))",
    "lm(stack(pre(attn()), pre(lin()), pre(glu())))",
)
FOUND = tuple(Named(palmette.parse(text)) for text in GENOMES)
some = pytest.mark.parametrize("candidates", [FOUND[:1], FOUND[1:]], ids=["one", "three"])


def made(candidates, tuned=(), placebos=1):
    own = {name: palmette.parse("lm(stack(pre(lin(erase='beta')), pre(glu())))") for name in tuned}
    return entries(candidates, BASELINES, own, (BASELINES[0],) * placebos, RECIPE, 128)


@some
def test_every_baseline_is_stretched_to_the_flops_of_who_needs_over_5_percent_more(candidates):
    sitting = made(candidates, tuned=HUMAN_BASELINES)
    assert len({entry.label for entry in sitting}) == len(sitting)
    defaults = {e.baseline: e for e in sitting if e.role == "baseline" and e.stretch == 1}
    assert set(defaults) == set(HUMAN_BASELINES)
    same = next(e for e in sitting if e.role == "tuned" and e.stretch == 1)  # all are one design
    for own in (entry for entry in sitting if entry.role == "candidate"):
        stretched = [e for e in sitting if e.matches == own.label]
        longer = {e.baseline: e for e in stretched if e.role == "baseline"}
        tuned = {e.baseline for e in stretched if e.role == "tuned"}
        assert tuned == (
            set(HUMAN_BASELINES) if own.flops_train > 1.05 * same.flops_train else set()
        )
        for name, default in defaults.items():
            if own.flops_train > 1.05 * default.flops_train:
                assert longer[name].flops_train == pytest.approx(own.flops_train, rel=0.001)
                assert longer[name].genome == default.genome
            else:
                assert name not in longer
    for entry in sitting:
        assert abs(entry.parameters / RECIPE.last.parameters - 1) <= 0.02, entry.label


@some
def test_leagues_and_error(candidates):
    sitting = made(candidates)
    rows = [
        LedgerRow(number=n + 1, exam=1, hypothesis=hypothesis(number=n + 1), verified=n == 0)
        for n in range(3)
    ]
    asked = hypotheses(sitting, RECIPE, rows)
    assert [one.number for one in asked] == list(range(4, 4 + len(asked)))
    alphas = [one.alpha for one in asked]
    assert alphas == sorted(alphas, reverse=True)
    assert sum(alphas) < 2 * RECIPE.q  # with one discovery so far
    by_label = {entry.label: entry for entry in sitting}
    claimed = Counter((one.candidate, one.league, one.claim) for one in asked)
    assert set(claimed.values()) == {1}
    for own in (entry for entry in sitting if entry.role == "candidate"):
        assert claimed[own.label, "open", "score"] == 1
        constant = (own.label, "constant-state", "score") in claimed
        assert constant == enters(own, sitting, "constant-state")
    for one in asked:
        own = by_label[one.candidate]
        if one.claim == "efficiency":
            assert any(
                own.state_bytes <= 0.5 * other.state_bytes
                or own.flops_forward <= 0.5 * other.flops_forward
                for other in rivals(own, sitting, one.league)
            )
    claims = [one.claim for one in asked]
    assert claims == sorted(claims, reverse=True), "scores come before efficiency"


def test_placebos_have_seeds_of_their_own():
    sitting = made(FOUND[:1], placebos=2)
    placebos = [entry for entry in sitting if entry.role == "placebo"]
    assert [entry.replica for entry in placebos] == [1, 2]
    assert {entry.genome for entry in placebos} == {BASELINES[0].genome.hash}
    assert all(entry.replica == 0 for entry in sitting if entry.role != "placebo")


def test_a_growing_state_is_counted_at_the_longest_length():
    near = entries(FOUND[3:], BASELINES[:1], {}, (), RECIPE, 128)[0]
    far = entries(FOUND[3:], BASELINES[:1], {}, (), RECIPE, 256)[0]
    assert not near.constant_state
    assert far.state_bytes > 1.5 * near.state_bytes


def test_what_cannot_be_matched_is_told_with_what_binds():
    large = Named(palmette.parse("lm(pre(ngram()))"), None)
    (told,) = list(misfits([large, FOUND[0]], RECIPE, 128))
    assert told.startswith(f"{large.label} cannot be matched at 16,000 parameters: ")
    assert "more than the 16,000 asked for" in told or "too large for 2 %" in told


def test_at_the_smaller_sizes_a_step_of_width_may_miss_by_five_per_cent():
    genome = palmette.parse(
        "lm(seq(pre(lin(key_ratio=3/4, value_ratio=3/2, conv=3, decay='scalar', erase='beta', "
        "out_gate='silu')), pre(attn(positions='rope', qk_norm='rms', gate='element'))))"
    )
    recipe = recipe_of(scale("evening"))
    first, second, _ = recipe.rungs
    assert [tolerance(rung, recipe) for rung in recipe.rungs] == [0.05, 0.05, 0.02]
    assert 0.02 < abs(sized(genome, first.parameters, 128).error) < 0.05
    assert sized(genome, second.parameters, 128).fits
    assert list(misfits([Named(genome)], recipe, 128)) == []
    alone = replace(recipe, rungs=(first,))
    (told,) = misfits([Named(genome)], alone, 128)
    assert "cannot be matched at 42,000 parameters" in told


def test_the_best_of_the_highest_rung_are_chosen_with_placebos_that_rank_with_them():
    made_up, ladder = Made(), scale("pocket")
    low, high, root = candidate("aaaaaaaa"), candidate("bbbbbbbb"), candidate("cccccccc", "root")
    other, copy = candidate("dddddddd"), candidate("cccccccc", "placebo", 1, name="placebo 1")
    trials = [*made_up.sweep(low, 0.9)]
    for who, score in ((high, 0.5), (other, 0.4), (root, 0.45), (copy, 0.47)):
        trials += made_up.sweep(who, score)
        for rung in (1, 2):
            for seed in range(ladder.rungs[rung].seeds):
                trials.append(made_up.trial(who, rung, score + seed / 1000, seed=seed))
    everyone = [low, high, other, root.model_copy(update={"name": "deltanet"}), copy]
    found = ranked(everyone, trials, ladder, 1)
    assert found.candidates == (high.expression,)
    assert found.placebos == ()
    assert found.strongest == "deltanet"
    assert ranked(everyone, trials, ladder, 2).candidates == (high.expression, other.expression)
    assert ranked(everyone, trials, ladder, 2).placebos == (copy.expression,)
    assert ranked([root], [], ladder, 3).candidates == ()


def test_labels():
    genome = Genome(FOUND[0].genome.root)
    assert Named(genome, "mine").label == "mine"
    assert Named(genome).label == genome.hash[:8]

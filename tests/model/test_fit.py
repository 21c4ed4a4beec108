import json
import random
from pathlib import Path

import pytest

import palmette
from palmette.errors import UserError
from palmette.grammar.sample import sample_genome
from palmette.ladder.scales import scale
from palmette.model import atlas, build_at, cost, fit
from palmette.ops._base import Primitive

ATLAS = json.loads(Path(__file__).with_name("atlas_sizes.json").read_text())
SIZES = [42_000, 100_000, 200_000, 1_000_000]
TRUNKS = [
    "stack(pre(lin()), pre(glu()))",
    "lm(stack(pre(attn()), pre(mlp())), positions='learned')",
    "stack(pre(lin()))",
    "every(4, seq(pre(lin()), pre(glu())), seq(pre(attn()), pre(glu())))",
    "repeat(3, pre(lin()), pre(glu()))",
    "pre(glu())",
    "lm(seq(stack(pre(mlp())), pre(lin())), tie=False)",
]


@pytest.mark.parametrize("parameters", SIZES)
@pytest.mark.parametrize("text", TRUNKS)
def test_within_two_percent_of_what_is_wanted(text, parameters):
    genome = palmette.parse(text)
    found = fit(genome, parameters, vocabulary=272)
    assert found.fits
    assert abs(found.parameters / parameters - 1) <= 0.02
    assert 0.8 <= found.place.hidden <= 1.25
    assert found.parameters == cost(genome, found.place, 63).parameters
    if parameters <= 200_000:
        built = sum(p.numel() for p in build_at(genome, found.place).parameters())
        assert found.parameters == built


@pytest.mark.parametrize(
    ("parameters", "width", "depth"), [(45_000, 32, 3), (200_000, 64, 4)], ids=["small", "large"]
)
def test_usual_shapes(parameters, width, depth):
    place = fit(palmette.parse("stack(pre(attn()), pre(glu()))"), parameters, 272).place
    assert (place.width, place.depth) == (width, depth)


def test_depth_grows_with_the_size():
    genome = palmette.parse("stack(pre(lin()), pre(glu()))")
    depths = [fit(genome, 10**n).place.depth for n in range(4, 9)]
    assert depths == sorted(depths)
    assert depths[-1] <= 24


def test_most_sampled_genomes_fit():
    rng = random.Random(0)
    genomes = [sample_genome(palmette.language(), rng, most=24) for _ in range(40)]
    found = [fit(genome, 42_000, 272) for genome in genomes]
    assert sum(one.fits for one in found) >= 37
    assert all(abs(one.error) < 0.1 for one in found)


def test_what_cannot_be_met_gets_the_nearest_size():
    genome = palmette.parse("pre(glu())")
    found = fit(genome, 100, vocabulary=50_000)
    assert not found.fits
    assert found.place.width == 1
    assert found.error == found.parameters / 100 - 1


def test_non_embedding_counts_the_trunk_alone():
    genome = palmette.parse("lm(pre(mlp()), tie=False, positions='learned')")
    found = fit(genome, 42_000)
    tables = (2 * 256 + 256 + 1) * found.place.width
    assert found.non_embedding == found.parameters - tables


def test_the_answer_is_the_same_twice():
    genome = palmette.parse(TRUNKS[3])
    assert fit(genome, 123_456) == fit(genome, 123_456)


@pytest.mark.parametrize("name", ["parameters", "vocabulary", "context"])
def test_sizes_below_one_are_refused(name):
    sizes = {"parameters": 42_000, "vocabulary": 256, "context": 256} | {name: 0}
    with pytest.raises(ValueError, match=f"fit wants {name} of at least 1, got 0"):
        fit(palmette.parse("pre(glu())"), **sizes)


def sized(genome):
    try:
        return [fit(genome, parameters, vocabulary=272) for parameters in SIZES[:2]]
    except UserError as error:
        return str(error)


def test_remembered_costs_change_no_size(monkeypatch):
    genomes = [palmette.parse(text) for text in TRUNKS]
    genomes += [sample_genome(palmette.language(), random.Random(seed)) for seed in range(12)]
    found = [sized(genome) for genome in genomes]
    again = [sized(genome) for genome in genomes]
    monkeypatch.setattr(
        Primitive, "cost_within", lambda part, place, n: part.cost(place.within(), n)
    )
    assert found == again == [sized(genome) for genome in genomes]


@pytest.mark.parametrize("name", sorted(ATLAS))
def test_the_atlas_keeps_its_sizes(name):
    genome = atlas.load(name)
    found = [fit(genome, rung.parameters, 272, 256) for rung in scale("pocket").rungs]
    sizes = [[f.place.width, f.place.depth, f.place.hidden, f.parameters] for f in found]
    assert sizes == ATLAS[name], (
        "stored campaigns hold trials at these sizes; a change needs a word"
    )

import random

import pytest
import torch

import palmette
from palmette.grammar.sample import sample_genome
from palmette.model import build_at, fit

TEXT = "stack(pre(lin()), pre(glu()))"


def bits(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_the_same_seed_gives_the_same_bits_and_disturbs_nobody():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = palmette.build(TEXT, params=20_000, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    assert torch.equal(bits(first), bits(palmette.build(TEXT, params=20_000, seed=3)))
    assert not torch.equal(bits(first), bits(palmette.build(TEXT, params=20_000, seed=4)))


def test_without_a_seed_it_draws_from_the_global_generator():
    torch.manual_seed(5)
    one, other = (palmette.build(TEXT, params=20_000) for _ in range(2))
    torch.manual_seed(5)
    again = palmette.build(TEXT, params=20_000)
    assert not torch.equal(bits(one), bits(other))
    assert torch.equal(bits(one), bits(again))


def test_the_generator_is_restored_after_a_failure():
    genome = palmette.parse("pre(mlp())")
    place = fit(genome, 20_000).place
    before = torch.get_rng_state()
    broken = type(place)(**{**vars(place), "vocabulary": -1})
    with pytest.raises(RuntimeError):
        build_at(genome, broken, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_text_and_genome_build_the_same():
    one = palmette.build(TEXT, params=20_000, seed=0)
    two = palmette.build(palmette.parse(TEXT), params=20_000, seed=0)
    assert torch.equal(bits(one), bits(two))


def test_parameter_names_are_readable():
    model = palmette.build("stack(pre(mlp()), pre(glu()))", params=20_000)
    names = [name for name, _ in model.named_parameters()]
    assert names[:3] == [
        "embedding.weight",
        "core.layers.0.norm.weight",
        "core.layers.0.op.up.weight",
    ]


def test_vectors_are_not_decayed_and_matrices_are():
    model = palmette.build("stack(pre(mlp(bias=True), norm='layer'))", params=20_000)
    for name, parameter in model.named_parameters():
        assert getattr(parameter, "no_decay", False) == (parameter.ndim < 2), name


def test_sampled_genomes_build_count_and_train():
    rng = random.Random(0)
    for _ in range(25):
        genome = sample_genome(palmette.language(), rng, most=24)
        found = fit(genome, 20_000, vocabulary=64, context=63)
        model = build_at(genome, found.place, seed=0)
        assert sum(p.numel() for p in model.parameters()) == found.parameters, str(genome)
        ids = torch.randint(64, (2, 63), generator=torch.Generator().manual_seed(0))
        loss = torch.nn.functional.cross_entropy(model(ids).flatten(0, 1), ids.flatten())
        loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, f"{name} in {genome}"
            assert parameter.grad.isfinite().all(), f"{name} in {genome}"
            assert parameter.grad.any(), f"{name} in {genome}"

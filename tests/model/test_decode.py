import pytest
import torch

import palmette
from palmette.grammar.node import effects
from palmette.grammar.types import Effect
from palmette.model import atlas, build_at, fit
from palmette.model.decode import generate

STREAMABLE = [n for n in atlas.names() if Effect.STREAMABLE in effects(atlas.load(n).root)]


@pytest.mark.parametrize("name", STREAMABLE)
def test_a_model_of_the_atlas_decodes_to_what_it_computes_at_once(name):
    genome = atlas.load(name)
    model = build_at(genome, fit(genome, 42_000, 64, 64).place, seed=0).eval()
    ids = torch.randint(64, (2, 63), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, got = model(ids), []
        state = model.init_state(2)
        for one in ids.unbind(1):
            logits, state = model.step(one, state)
            got.append(logits)
    gap = (torch.stack(got, 1) - wanted).abs().max() / wanted.abs().max()
    assert gap < 1e-5


def test_the_likeliest_ids_are_those_of_the_whole_sequence():
    model = palmette.build("stack(pre(attn(positions='rope')), pre(glu()))", 42_000, 64, seed=0)
    prompt = torch.tensor([[1, 2, 3], [4, 5, 6]])
    made = generate(model, prompt, 7)
    sequence = prompt
    for _ in range(7):
        sequence = torch.cat((sequence, model(sequence)[:, -1].argmax(-1, keepdim=True)), 1)
    assert torch.equal(made, sequence[:, 3:])
    assert model.training


def test_draws_come_from_the_generator():
    model = palmette.build("pre(lin())", 42_000, 64, seed=0)
    prompt = torch.zeros(1, 1, dtype=torch.long)
    first, again, other = (
        generate(model, prompt, 20, 1.0, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_what_cannot_be_decoded_says_so():
    model = palmette.build("pre(lin())", 42_000, 64, seed=0)
    with pytest.raises(ValueError, match="prompt of at least one token"):
        generate(model, torch.zeros(1, 0, dtype=torch.long), 3)
    with pytest.raises(ValueError, match="reads its whole input at once"):
        generate(torch.nn.Linear(2, 2), torch.zeros(1, 1, dtype=torch.long), 3)

"""The softmax-attention genomes of the atlas: they train, decode, and have the shape they claim."""

import pytest
import torch
import torch.nn.functional as F

import palmette
from palmette.model import atlas
from palmette.model.fit import cost, fit
from palmette.ops._base import Place

NAMES = ["gpt2", "llama", "mobilellm", "mobilellm_ls", "nsa", "moba", "forgetting"]
SIZES = [42_000, 200_000, 1_000_000]


def small(name):
    return palmette.build(atlas.load(name), params=42_000, vocab_size=40, context=100, seed=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_few_steps_teach_a_text_by_heart(name):
    model = small(name)
    ids = torch.randint(40, (2, 63), generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(10):
        loss = F.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5, losses


@pytest.mark.parametrize("name", NAMES)
def test_it_decodes_token_by_token_to_what_it_computes_at_once(name):
    model = small(name)
    ids = torch.randint(40, (1, 63), generator=torch.Generator().manual_seed(1))
    state, logits = model.init_state(1), []
    with torch.no_grad():
        wanted = model(ids)
        for i in range(63):
            one, state = model.step(ids[:, i], state)
            logits.append(one)
    gap = (torch.stack(logits, 1) - wanted).abs().max() / wanted.abs().max()
    assert gap < 1e-5


@pytest.mark.parametrize("parameters", SIZES)
def test_mobilellm_is_deeper_than_llama_and_no_wider(parameters):
    deep, usual = (fit(atlas.load(name), parameters, 272, 256) for name in ("mobilellm", "llama"))
    assert deep.place.width <= usual.place.width
    steps = [
        cost(atlas.load(name), found.place, 1).steps
        for name, found in (("mobilellm", deep), ("llama", usual))
    ]
    assert steps[0] > steps[1]
    if parameters <= 200_000:
        assert steps[0] >= 2 * steps[1]
        assert deep.place.width < usual.place.width


def test_mobilellm_ls_has_the_weights_of_mobilellm_and_runs_them_twice():
    place = Place(width=20, depth=1, hidden=1.0, vocabulary=272, context=256)
    once, twice = (cost(atlas.load(name), place, 100) for name in ("mobilellm", "mobilellm_ls"))
    assert twice.parameters == once.parameters
    assert twice.steps == 2 * once.steps
    assert twice.state_bytes == 2 * once.state_bytes


def test_block_selection_reads_less_than_all_in_a_long_text():
    place = Place(width=64, depth=4, hidden=1.0, vocabulary=272, context=256)
    long = {name: cost(atlas.load(name), place, 8192).flops_forward for name in NAMES}
    assert long["moba"] < 0.3 * long["llama"]
    assert long["nsa"] < 0.3 * long["llama"]

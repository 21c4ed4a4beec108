import random

import pytest
import torch

import palmette
from palmette.errors import GenomeError
from palmette.grammar.edit import edit
from palmette.grammar.node import effects
from palmette.grammar.sample import sample_genome
from palmette.grammar.types import Effect
from palmette.model import build_at
from palmette.ops._base import Place
from palmette.search.proposers.evolution import KINDS

PLACE = Place(width=24, depth=2, hidden=1.0, vocabulary=61, context=100)


def ids_of(length=63, rows=2):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(PLACE.vocabulary, (rows, length), generator=generator)


def moved_by_the_last_token(text):
    """Positions whose answers move when the last token is another one."""
    model = build_at(palmette.parse(text), PLACE, seed=0).eval()
    ids = ids_of()
    other = ids.clone()
    other[:, -1] = (ids[:, -1] + 1) % PLACE.vocabulary
    with torch.no_grad():
        return (model(ids) - model(other)).abs().amax((0, 2)) > 1e-6


def test_answers_see_the_whole_sequence():
    assert moved_by_the_last_token("seq2seq(pre(attn(mask='none')))").all()
    assert moved_by_the_last_token("seq2seq(pre(flip(lin())))").all()
    assert moved_by_the_last_token("seq2seq(pre(attn()))").nonzero().tolist() == [[62]]


def test_a_recurrence_and_its_mirror_image_see_both_ways():
    model = build_at(palmette.parse("seq2seq(pre(flip(lin())))"), PLACE, seed=0).eval()
    plain = build_at(palmette.parse("seq2seq(pre(lin()))"), PLACE, seed=0).eval()
    plain.load_state_dict(
        {name.replace("core.op.op.", "core.op."): t for name, t in model.state_dict().items()}
    )
    with torch.no_grad():
        assert torch.equal(model(ids_of()), plain(ids_of().flip(1)).flip(1))
    assert moved_by_the_last_token("seq2seq(pre(par(lin(), flip(lin()))))").all()


def test_nothing_below_an_lm_looks_ahead():
    with pytest.raises(GenomeError, match="causal"):
        palmette.parse("lm(pre(flip(lin())))")


@pytest.mark.parametrize(("pool", "read"), [("mean", slice(None)), ("last", slice(-1, None))])
def test_classify_gives_one_answer_read_off_the_trunk(pool, read):
    model = build_at(palmette.parse(f"classify(pre(lin()), pool='{pool}')"), PLACE, seed=0)
    logits = model(ids_of())
    assert logits.shape == (2, 63, 61)
    assert (logits == logits[:, :1]).all()
    pooled = model.core(model.read(ids_of(), 0))[:, read].mean(1)
    torch.testing.assert_close(logits[:, 0], model.head(model.norm(pooled)))


@pytest.mark.parametrize("model", ["lm", "seq2seq", "classify", "energy"])
def test_edits_never_turn_one_kind_of_model_into_another(model):
    """Nor samples: so a campaign stays with the kind of its root."""
    language = palmette.language()
    rng = random.Random(0)
    for number in range(10):
        genome = sample_genome(language, rng, most=14, model=language.get(model))
        node = genome.root
        for _ in range(6):
            assert type(node) is language.get(model)
            node = edit(node, language, rng, kinds=list(KINDS), most=24).node
        if model == "lm":
            assert Effect.CAUSAL in effects(node), number
    drawn = {type(sample_genome(language, random.Random(seed)).root).name for seed in range(40)}
    assert drawn == {"lm"}

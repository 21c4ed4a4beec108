import pytest
import torch

from palmette.model import build, parse
from palmette.ops.forms.language_model import NativeLanguageModel
from palmette.ops.kernels.native.library import unavailable

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="no compiler here")

MODELS = {
    "plain": "lm(stack(pre(attn())))",
    "untied": "lm(stack(pre(attn())), tie=False, norm='layer')",
    "gpt2": "lm(stack(pre(attn())), positions='learned', norm='layer')",
    "pairs": "lm(stack(pre(attn())), head='neumf')",
}


@pytest.mark.parametrize("name", MODELS)
def test_a_form_computes_what_its_model_does(name):
    genome = parse(MODELS[name])
    models = [build(genome, 9_000, 37, context=40, kernel=kernel) for kernel in ("torch", "native")]
    assert type(models[1]) is NativeLanguageModel
    models[1].load_state_dict(models[0].state_dict())
    ids = torch.randint(37, (3, 40))
    logits = [model(ids) for model in models]
    assert (logits[1] - logits[0]).norm() <= 1e-5 * logits[0].norm()
    for each in logits:
        each.square().mean().backward()
    for (name, first), (_, second) in zip(
        *(model.named_parameters() for model in models), strict=True
    ):
        assert (second.grad - first.grad).norm() <= 1e-5 * first.grad.norm() + 1e-9, name


@pytest.mark.parametrize("name", MODELS)
def test_decoding_gives_what_the_whole_does(name):
    model = build(parse(MODELS[name]), 9_000, 37, context=40, kernel="native")
    ids = torch.randint(37, (2, 9))
    with torch.no_grad():
        whole, state = model(ids), model.init_state(2)
        for i in range(9):
            logits, state = model.step(ids[:, i], state)
            torch.testing.assert_close(logits, whole[:, i], rtol=1e-4, atol=1e-5)


def test_more_tokens_than_positions_are_refused_in_the_model_s_words():
    model = build(parse(MODELS["gpt2"]), 9_000, 37, context=40, kernel="native")
    with pytest.raises(ValueError, match="learned positions for 40 tokens but got 41"):
        model(torch.zeros(1, 41, dtype=torch.long))

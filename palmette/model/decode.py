"""Going on token by token from a state: `generate(model, prompt, 100)`."""

from typing import Any, cast

import torch
from jaxtyping import Int
from torch import Tensor, nn


@torch.no_grad()
def generate(
    model: nn.Module,
    prompt: Int[Tensor, "b t"],
    tokens: int,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "b n"]:
    """The `tokens` ids that a model goes on with after a prompt, one step of its state each.

    At temperature 0 the likeliest id is taken, the first of equal ones; else an id is drawn from
    softmax(logits / temperature) with `generator`.

    Raises `ValueError` if the model cannot be decoded token by token, or the prompt is empty.

    >>> import palmette
    >>> model = palmette.build("stack(pre(lin()), pre(glu()))", params=42_000, seed=0)
    >>> generate(model, torch.tensor([[1, 2, 3]]), tokens=5).shape
    torch.Size([1, 5])
    """
    if not hasattr(model, "step"):
        raise ValueError(
            f"a {type(model).__name__} reads its whole input at once and cannot go on token by "
            "token; give a causal model, lm(...)"
        )
    if not prompt.shape[1]:
        raise ValueError("generate wants a prompt of at least one token")
    training, decoder = model.training, cast("Any", model.eval())
    try:
        state = decoder.init_state(len(prompt))
        for ids in prompt.unbind(1):
            logits, state = decoder.step(ids, state)
        chosen: list[Tensor] = []
        for _ in range(tokens):
            chosen.append(_pick(logits, temperature, generator))
            logits, state = decoder.step(chosen[-1], state)
    finally:
        model.train(training)
    return torch.stack(chosen, 1) if chosen else prompt[:, :0]


def _pick(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    if temperature == 0:
        return logits.argmax(-1)
    return torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator).squeeze(1)

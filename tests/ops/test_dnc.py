import math

import numpy as np
import pytest
import torch
from torch import Tensor

from palmette.grammar.node import effects
from palmette.grammar.types import Effect
from palmette.model.build import instantiate
from palmette.ops._base import Place
from palmette.ops._memory import content, fresh_slots, links_after, usage_after, written_memory
from palmette.ops.dnc import Dnc, NeuralComputer, interface_widths

KINDS = [
    Dnc(),
    Dnc(number=8, heads=2, controller="gated"),
    Dnc(heads=2, links=False),
    Dnc(number=8, links=False, controller="gated"),
]


def place(width: int) -> Place:
    return Place(width=width, depth=1, hidden=1.0, vocabulary=256, context=128)


def build(node: Dnc, width: int = 12) -> NeuralComputer:
    torch.manual_seed(0)
    module = instantiate(node.plan(place(width)))
    assert isinstance(module, NeuralComputer)
    with torch.no_grad():
        module.norm.weight.mul_(3.0)  # gates that open and close
        module.norm.bias.copy_(torch.randn_like(module.norm.bias))
    return module


def states_of(node: Dnc, length: int = 63) -> list[tuple]:
    """The states that decoding three random sequences goes through."""
    module = build(node)
    state, states = module.init_state(3), []
    x = torch.randn(3, length, 12, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for i in range(length):
            _, state = module.step(x[:, i], state)
            states.append(state)
    return states


@pytest.mark.parametrize("node", KINDS, ids=str)
def test_parameters_and_state_in_closed_form_are_what_is_built(node: Dnc) -> None:
    module = build(node, 13)
    cost = node.cost(place(13), 63)
    assert cost.parameters == sum(p.numel() for p in module.parameters())
    assert cost.state_bytes == 4 * numbers(module.init_state(1))
    assert cost == node.cost(place(13), 4096)
    broken = {Effect.FORKS, Effect.TWICE_DIFFERENTIABLE}
    assert effects(node) & broken == set()
    assert {Effect.CONSTANT_STATE, Effect.LINEAR_TIME, Effect.STREAMABLE} <= effects(node)


def numbers(state: object) -> int:
    if isinstance(state, Tensor):
        return state.numel()
    assert isinstance(state, tuple)
    return sum(numbers(part) for part in state)


@pytest.mark.parametrize("node", KINDS, ids=str)
def test_weights_stay_sub_distributions_usage_a_share_and_links_an_order(node: Dnc) -> None:
    slack = 1e-5
    for memory, usage, written, read, links, _, _ in states_of(node):
        assert memory.isfinite().all()
        assert usage.min() >= -slack
        assert usage.max() <= 1 + slack
        free = fresh_slots(usage)
        for weights in (written, free, *read.unbind(1)):
            assert weights.min() >= -slack
            assert weights.sum(-1).max() <= 1 + slack
        if node.links:
            order, last = links
            assert last.min() >= -slack
            assert last.sum(-1).max() <= 1 + slack
            assert not order.diagonal(dim1=-2, dim2=-1).any()
            assert order.min() >= -slack
            assert order.sum(-1).max() <= 1 + slack
            assert order.sum(-2).max() <= 1 + slack


def test_usage_is_written_kept_and_freed() -> None:
    torch.manual_seed(0)
    usage, written = torch.rand(2, 8), torch.softmax(torch.randn(2, 8), -1)
    read = torch.softmax(torch.randn(2, 2, 8), -1)
    kept = usage_after(usage, written, read, torch.zeros(2, 2))
    torch.testing.assert_close(kept, usage + written - usage * written)
    assert (kept >= usage).all()  # nothing is freed, so nothing is less in use
    everything = torch.ones(2, 1, 8)
    assert not usage_after(usage, written, everything, torch.ones(2, 1)).any()


def test_allocation_takes_the_free_slots_in_order_and_none_when_all_are_in_use() -> None:
    assert fresh_slots(torch.zeros(1, 4)).tolist() == [[1.0, 0.0, 0.0, 0.0]]
    assert not fresh_slots(torch.ones(1, 4)).any()
    usage = torch.rand(50, 8, generator=torch.Generator().manual_seed(0))
    given = fresh_slots(usage)
    torch.testing.assert_close(given.sum(-1), 1 - usage.prod(-1))
    assert torch.equal(given.argmax(-1), usage.argmin(-1))


def test_what_was_written_is_found_again_by_its_content() -> None:
    torch.manual_seed(0)
    memory, usage = torch.zeros(1, 8, 6), torch.zeros(1, 8)
    words = torch.randn(5, 1, 6)
    for word in words:
        where = fresh_slots(usage)
        memory = written_memory(memory, where, torch.ones(1, 6), word)
        usage = usage_after(usage, where, torch.zeros(1, 1, 8), torch.zeros(1, 1))
    for word in words:
        where = content(memory, word.unsqueeze(1), torch.full((1, 1), 200.0))
        torch.testing.assert_close((where @ memory).squeeze(1), word, rtol=1e-4, atol=1e-4)


def test_links_lead_from_each_slot_to_the_next_and_back() -> None:
    links, last = torch.zeros(1, 5, 5), torch.zeros(1, 5)
    for slot in (3, 0, 4, 1):
        links, last = links_after(links, last, torch.eye(5)[slot].unsqueeze(0))
    at = torch.eye(5)[3]
    for slot in (0, 4, 1):
        at = links[0] @ at
        assert at.tolist() == torch.eye(5)[slot].tolist()
    for slot in (4, 0, 3):
        at = links[0].T @ at
        assert at.tolist() == torch.eye(5)[slot].tolist()


def test_equal_usage_is_broken_by_position_and_so_the_same_in_every_batch() -> None:
    usage = torch.full((7, 16), 0.5)
    assert torch.equal(fresh_slots(usage), fresh_slots(usage[:1]).expand(7, 16))


@pytest.mark.parametrize("node", KINDS, ids=str)
def test_it_computes_the_published_equations(node: Dnc) -> None:
    """Against a transcription in numpy and double precision, slot by slot."""
    module = build(node).double()
    x = torch.randn(1, 20, 12, dtype=torch.float64)
    given = module(x)[0].detach().numpy()
    wanted = transcribed(module, x[0].numpy())
    np.testing.assert_allclose(given, wanted, rtol=1e-9, atol=1e-10)


def transcribed(module: NeuralComputer, x: np.ndarray) -> np.ndarray:
    """The computer of Graves et al. for one sequence, written from the paper with loops."""
    weights = {name: p.detach().numpy() for name, p in module.named_parameters()}
    n, r, size, d = module.slots, module.heads, module.word, x.shape[1]

    def sigmoid(z: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-z))

    def softmax(z: np.ndarray) -> np.ndarray:
        return np.exp(z) / np.exp(z).sum()

    def cosines(memory: np.ndarray, key: np.ndarray, strength: float) -> np.ndarray:
        scores = [
            word @ key / math.sqrt((word @ word + 1e-6) * (key @ key + 1e-6)) for word in memory
        ]
        return softmax(strength * np.array(scores))

    memory, usage, last = np.zeros((n, size)), np.zeros(n), np.zeros(n)
    order, written = np.zeros((n, n)), np.zeros(n)
    read, words, hidden = np.zeros((r, n)), np.zeros(r * size), np.zeros(d)
    outputs = []
    for token in x:
        units = weights["from_token.weight"] @ token + weights["from_token.bias"]
        units = units + weights["from_words.weight"] @ words
        if module.gated:
            keep = sigmoid(units[:d])
            hidden = keep * hidden + (1 - keep) * np.tanh(units[d:])
        else:
            hidden = np.tanh(units)
        told = weights["tell.weight"] @ hidden
        told = (told - told.mean()) / np.sqrt(told.var() + 1e-5)
        told = told * weights["norm.weight"] + weights["norm.bias"]
        cuts = np.cumsum(interface_widths(r, size, module.links))[:-1]
        keys, key, value, strengths, gates, modes = np.split(told, cuts)
        strengths = 1 + np.log1p(np.exp(strengths))
        erase, free = sigmoid(gates[:size]), sigmoid(gates[size : size + r])
        allocate, write = sigmoid(gates[-2]), sigmoid(gates[-1])

        for slot in range(n):
            retention = math.prod(1 - free[head] * read[head, slot] for head in range(r))
            now = usage[slot] + written[slot] - usage[slot] * written[slot]
            usage[slot] = now * retention
        fresh, used_before = np.zeros(n), 1.0
        for slot in sorted(range(n), key=lambda slot: usage[slot]):
            fresh[slot] = (1 - usage[slot]) * used_before
            used_before *= usage[slot]
        found = cosines(memory, key, strengths[r])
        written = write * (allocate * fresh + (1 - allocate) * found)
        memory = memory * (1 - np.outer(written, erase)) + np.outer(written, value)

        before = order.copy()
        for i in range(n):
            for j in range(n):
                order[i, j] = (1 - written[i] - written[j]) * before[i, j] + written[i] * last[j]
            order[i, i] = 0.0
        last = (1 - written.sum()) * last + written
        for head in range(r):
            looked = cosines(memory, keys[head * size : (head + 1) * size], strengths[head])
            if module.links:
                back, stay, on = softmax(modes[3 * head : 3 * head + 3])
                looked = back * order.T @ read[head] + stay * looked + on * order @ read[head]
            read[head] = looked
        words = (read @ memory).flatten()
        outputs.append(weights["out.weight"] @ np.concatenate([hidden, words]))
    return np.array(outputs)

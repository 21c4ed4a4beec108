"""The contract of a gate, as checks that anybody's gate can be put through.

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_it_keeps_the_contract(check):
        check(GateKit(MyGate, cheaters=[subject_that_has_to_be_caught]))

A gate has to let honest modules pass, to catch every cheater it is given, and to leave no trace.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from palmette.gates import Gate, Subject
from palmette.gates._check import judge
from palmette.grammar.types import ALL_EFFECTS, Effect, Effects

WIDTH, VOCABULARY = 16, 24
LAYER: Effects = ALL_EFFECTS - {Effect.FORKS}


class GateError(AssertionError):
    """A gate that does not keep its contract."""


class RunningMean(nn.Module):
    """An honest layer: W_out tanh(mean of W_in x over the tokens so far). [b t d] -> [b t d]."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """The mean by a running sum: linear in t."""
        counts = torch.arange(1, x.shape[1] + 1, device=x.device).to(x.dtype)
        mean = self.value(x).cumsum(1) / counts[:, None]
        return self.out(torch.tanh(mean))  # type: ignore[no-any-return]

    def init_state(self, batch: int) -> tuple[Tensor, int]:
        """The sum [b d] and how many tokens are in it."""
        return self.out.weight.new_zeros(batch, self.out.in_features), 0

    def step(self, x: Tensor, state: tuple[Tensor, int]) -> tuple[Tensor, tuple[Tensor, int]]:
        """One token [b d]."""
        total, count = state[0] + self.value(x), state[1] + 1
        return self.out(torch.tanh(total / count)), (total, count)


class SmallModel(nn.Module):
    """An honest model: an embedding, a running mean beside it, a head. ids [b t] -> logits."""

    def __init__(self, width: int = WIDTH, vocabulary: int = VOCABULARY) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.mixer = RunningMean(width)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of the next token."""
        x = self.embedding(ids)
        return self.head(x + self.mixer(x))  # type: ignore[no-any-return]

    def init_state(self, batch: int) -> tuple[Tensor, int]:
        """The mixer's."""
        return self.mixer.init_state(batch)

    def step(self, ids: Tensor, state: tuple[Tensor, int]) -> tuple[Tensor, tuple[Tensor, int]]:
        """One token [b]."""
        x = self.embedding(ids)
        mixed, state = self.mixer.step(x, state)
        return self.head(x + mixed), state


def seeded(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """The same module each time, and torch's generator as it was."""

    def made() -> nn.Module:
        before = torch.get_rng_state()
        try:
            torch.default_generator.manual_seed(0)
            return make()
        finally:
            torch.set_rng_state(before)

    return made


def layer(make: Callable[[], nn.Module] = RunningMean) -> Subject:
    """A layer of the kit's width that promises all that a running mean keeps."""
    products = 2 * WIDTH**2
    return Subject(
        make=seeded(make),
        takes="features",
        width=WIDTH,
        vocabulary=VOCABULARY,
        promises=LAYER,
        parameters=products + WIDTH,
        flops_forward=lambda length: 2.0 * products,
        state_bytes=lambda length: 4 * WIDTH,
    )


def model(make: Callable[[], nn.Module] = SmallModel) -> Subject:
    """A model of the kit's sizes that promises what a small model keeps."""
    products = 2 * WIDTH**2 + VOCABULARY * WIDTH
    own = 2 * VOCABULARY * WIDTH + VOCABULARY
    return Subject(
        make=seeded(make),
        takes="ids",
        width=WIDTH,
        vocabulary=VOCABULARY,
        promises=LAYER,
        parameters=own + 2 * WIDTH**2 + WIDTH,
        flops_forward=lambda length: 2.0 * products,
        state_bytes=lambda length: 4 * WIDTH,
    )


HONEST = (layer(), model())


@dataclass(frozen=True)
class GateKit:
    """A gate, honest subjects that it has to let pass, and cheaters that it has to catch."""

    gate: type[Gate]
    cheaters: Sequence[Subject]
    honest: Sequence[Subject] = HONEST

    def wants(self, kept: bool, sentence: str) -> None:
        """Raises `GateError` with the sentence unless the promise is kept."""
        if not kept:
            raise GateError(f"{self.gate.name}: {sentence}")


def documented(kit: GateKit) -> None:
    """It has a summary, and the name of its file."""
    kit.wants(bool(kit.gate.__doc__), "wants a docstring that says what it checks, and how exactly")
    kit.wants(kit.gate.summary()[:1].isupper(), "its docstring wants a first sentence")
    file = kit.gate.__module__.rpartition(".")[2]
    kit.wants(file == kit.gate.name, f"stands in {file}.py; a file is called as its gate")


def lets_pass(kit: GateKit) -> None:
    """Honest subjects pass, or it does not apply to them, with a reason."""
    for subject in kit.honest:
        result = judge(kit.gate(), subject)
        kit.wants(result.passed is not False, f"fails an honest {subject.takes}: {result.detail}")
        kit.wants(bool(result.detail.strip()), "wants a detail: what was measured")


def catches(kit: GateKit) -> None:
    """Every cheater fails, with a reason."""
    kit.wants(len(kit.cheaters) > 0, "wants a cheater: a gate that nothing fails is none")
    for number, subject in enumerate(kit.cheaters):
        result = judge(kit.gate(), subject)
        kit.wants(result.passed is False, f"lets cheater {number} pass: {result.detail}")
        kit.wants(bool(result.detail.strip()), "wants a detail: what is wrong")


def leaves_no_trace(kit: GateKit) -> None:
    """The same verdict twice; torch's generator, default dtype and thread number stay."""
    subject = kit.honest[0]
    before = torch.get_rng_state(), torch.get_default_dtype(), torch.is_grad_enabled()
    first, again = judge(kit.gate(), subject), judge(kit.gate(), subject)
    kit.wants(first == again, f"says {first.detail!r} first and {again.detail!r} then")
    kit.wants(torch.equal(before[0], torch.get_rng_state()), "draws from torch's generator")
    after = torch.get_default_dtype(), torch.is_grad_enabled()
    kit.wants(before[1:] == after, "changes a setting of torch")


def with_promises(subject: Subject, promises: Effects) -> Subject:
    """The same module with other promises."""
    return dataclasses.replace(subject, promises=promises)


CHECKS: tuple[Callable[[GateKit], None], ...] = (documented, lets_pass, catches, leaves_no_trace)

"""The contract of a primitive, as checks that anybody's primitive can be put through.

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    @pytest.mark.parametrize("primitive", primitives, ids=lambda primitive: primitive.name)
    def test_it_keeps_the_contract(primitive, check):
        check(PrimitiveKit(primitive, palmette.language()))

Each check draws genomes with the primitive at their root, from a seed of its own, and builds them
small. A broken promise raises `ContractError`, which says what was wanted, what came, and for
which expression.
"""

from __future__ import annotations

import ast
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from palmette.grammar.genome import Genome
from palmette.grammar.language import Language
from palmette.grammar.node import effects, fields_of
from palmette.grammar.sample import sample
from palmette.grammar.syntax import unparse
from palmette.grammar.types import NO_EFFECTS, Child, Effect, Effects, Knob, Sort, Value
from palmette.model.build import build_at, instantiate
from palmette.model.export import source
from palmette.ops._base import Place, Primitive
from palmette.ops._segments import unreached
from palmette.ops._stream import State, advance
from palmette.testing._around import model_around, operator_around
from palmette.testing._futures import FUTURES, VOCABULARY

WIDTHS = (7, 12, 25)
CONTEXT = 100


class ContractError(AssertionError):
    """A primitive that does not keep its contract."""


@dataclass(frozen=True)
class PrimitiveKit:
    """A primitive with the language that its children come from; `samples` genomes per check."""

    primitive: type[Primitive]
    language: Language
    samples: int = 8

    def wants(self, kept: bool, sentence: str) -> None:
        """Raises `ContractError` with the sentence unless the promise is kept."""
        if not kept:
            raise ContractError(f"{self.primitive.name}: {sentence}")

    def genomes(self, required: Effects = NO_EFFECTS) -> Iterator[Primitive]:
        """Random nodes of this primitive that keep the required effects.

        A term of an expression stands in the smallest operator that can hold it.
        """
        rng = random.Random(self.primitive.name)
        for _ in range(self.samples):
            yield self._operator(self._node(rng, required, {}), rng, required)

    def each_choice(self) -> Iterator[Primitive]:
        """One node for every choice of every knob, the other knobs at their absent value."""
        rng = random.Random(self.primitive.name)
        for name, spec in fields_of(self.primitive).items():
            if isinstance(spec, Knob):
                for choice in spec.choices:
                    knobs = {n: s.absent for n, s in self._knobs().items() if s.absent is not None}
                    node = self._node(rng, NO_EFFECTS, knobs | {name: choice})
                    yield self._operator(node, rng, NO_EFFECTS)

    def build(self, node: Primitive, place: Place) -> nn.Module:
        """The node's module, always from the same seed; torch's generator is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = instantiate(node.plan(place))
        self.wants(isinstance(model, nn.Module), f"plan makes {type(model).__name__}, no module")
        assert isinstance(model, nn.Module)
        return model

    def place(self, width: int, depth: int = 2, hidden: float = 1.0) -> Place:
        """A small place: of this width, or of the next one at which the primitive can be built."""
        widths = self.primitive.widths
        while width not in widths and not (widths.only and width > widths.only[-1]):
            width += 1
        width = min(width, widths.only[-1]) if widths.only else width
        return Place(width, depth, hidden, vocabulary=VOCABULARY, context=CONTEXT)

    def outputs(self, model: nn.Module, x: Tensor) -> Tensor:
        """The module's outputs for these inputs.

        A module that reads token ids gets the ids that the features stand for, so that whoever
        changes a token's features changes its id.
        """
        reads_ids = x.is_floating_point() and getattr(model, "reads_ids", False)
        outputs: Tensor = model(x, _ids(x)) if reads_ids else model(x)
        return outputs

    def inputs(self, place: Place, length: int, rows: int = 2) -> Tensor:
        """Token ids for a model, else features of unit scale."""
        generator = torch.Generator().manual_seed(length)
        if self.primitive.sort is Sort.MODEL:
            return torch.randint(place.vocabulary, (rows, length), generator=generator)
        return torch.randn(rows, length, place.width, generator=generator)

    def _operator(self, node: Primitive, rng: random.Random, required: Effects) -> Primitive:
        """The node in the smallest operator that can hold it."""
        made = operator_around(node, self.language, rng, required)
        if made is None:
            sort = node.sort.value
            raise ContractError(f"nothing in the language makes an operator of a {sort}")
        return made

    def _knobs(self) -> dict[str, Knob]:
        specs = fields_of(self.primitive).items()
        return {name: spec for name, spec in specs if isinstance(spec, Knob)}

    def _node(self, rng: random.Random, required: Effects, knobs: dict[str, Value]) -> Primitive:
        fields: dict[str, object] = {}
        for name, spec in fields_of(self.primitive).items():
            if isinstance(spec, Child):
                number = rng.randint(spec.least, min(spec.most, spec.least + 1))
                below = required | spec.requires
                kids = [sample(self.language, spec.sort, rng, below, 4) for _ in range(number)]
                fields[name] = tuple(kids) if spec.many else kids[0]
            else:
                fields[name] = knobs.get(name, rng.choice(spec.allowed(required)))
        return self.primitive(**fields)


def documented(kit: PrimitiveKit) -> None:
    """It has a summary, a meaning for each field, and the name of its file."""
    summary = kit.primitive.summary()
    kit.wants(summary.endswith("."), f"the docstring wants a first sentence, got {summary!r}")
    for name, spec in fields_of(kit.primitive).items():
        kit.wants(bool(spec.meaning.strip()), f"field {name} wants a meaning")
    file = kit.primitive.__module__.rpartition(".")[2]
    kit.wants(file == kit.primitive.name, f"stands in {file}.py; a file is called as its primitive")


def shaped(kit: PrimitiveKit) -> None:
    """[b t d] -> [b t d], or ids -> logits, in float32 and finite, at any length."""
    for node in kit.genomes():
        place = kit.place(12)
        model = kit.build(node, place)
        for length in (1, 2, 63, CONTEXT):
            x = kit.inputs(place, length, rows=3)
            y = kit.outputs(model, x)
            last = place.vocabulary if kit.primitive.sort is Sort.MODEL else place.width
            wanted = [3, length, last]
            kit.wants(
                list(y.shape) == wanted and y.dtype is torch.float32,
                f"wants float32 {wanted} for t = {length}, got {y.dtype} {list(y.shape)} "
                f"from {unparse(node)}",
            )
            kit.wants(bool(y.isfinite().all()), f"not finite at t = {length} from {unparse(node)}")


def causal(kit: PrimitiveKit) -> None:
    """What promises to be causal cannot see the future, however the future changes.

    A new sign alone would miss an operator that reads squares, a new scale one that normalises,
    noise one that reads signs; a gradient from a past output to a future input misses what is not
    differentiable.
    """
    place = kit.place(12)
    for node in kit.genomes():
        if Effect.CAUSAL not in effects(node):
            continue
        model = kit.build(node, place)
        x = kit.inputs(place, 63)
        before = kit.outputs(model, x)
        for cut in (1, 31, 62):
            for kind, change in FUTURES.items():
                future = x.clone()
                future[:, cut:] = change(x[:, cut:])
                change_seen = (kit.outputs(model, future) - before)[:, :cut].abs().max()
                kit.wants(
                    bool(change_seen <= 1e-5 * before.abs().max()),
                    f"promises to be causal but the outputs before t = {cut} move by "
                    f"{float(change_seen.detach()):.1e} when the future changes ({kind}), "
                    f"in {unparse(node)}",
                )
            if x.is_floating_point():
                leaf = x.clone().requires_grad_()
                (slope,) = torch.autograd.grad(
                    kit.outputs(model, leaf)[:, :cut].square().sum(), leaf
                )
                # Not exactly zero: a chunked decay measures from the middle of its chunk, a term
                # that cancels but for rounding.
                kit.wants(
                    bool(slope[:, cut:].abs().max() <= 1e-4 * slope.abs().max()),
                    f"promises to be causal but outputs before t = {cut} have a gradient in later "
                    f"inputs, in {unparse(node)}",
                )


def counted(kit: PrimitiveKit) -> None:
    """The closed form of the parameters is the number that is built, for each choice of a knob."""
    rng = random.Random(0)
    for node in (*kit.each_choice(), *kit.genomes()):
        place = kit.place(rng.choice(WIDTHS), rng.randint(1, 3), rng.choice((0.8, 1.0, 1.13)))
        built = sum(p.numel() for p in kit.build(node, place).parameters())
        claimed = node.cost(place, 64).parameters
        kit.wants(
            claimed == built,
            f"cost says {claimed} parameters but {built} are built for {unparse(node)} at {place}",
        )


def costed(kit: PrimitiveKit) -> None:
    """FLOPs are positive and grow with the size; the state is constant where it is promised."""
    for node in kit.genomes():
        place = kit.place(12)
        here, longer, wider = (
            node.cost(place, 64),
            node.cost(place, 640),
            node.cost(kit.place(24), 64),
        )
        text = unparse(node)
        kit.wants(here.flops_forward > 0, f"wants FLOPs above 0, got none for {text}")
        kit.wants(
            # A model may do a part of its work once for a sequence, as `classify` does.
            kit.primitive.sort is Sort.MODEL or longer.flops_forward >= here.flops_forward,
            f"FLOPs per token shrink with the length for {text}",
        )
        kit.wants(
            wider.flops_forward > here.flops_forward,
            f"FLOPs per token do not grow with the width for {text}",
        )
        constant = node.cost(place, 64_000).state_bytes == node.cost(place, 640_000).state_bytes
        promised = Effect.CONSTANT_STATE in effects(node)
        kit.wants(
            constant == promised,
            f"{'promises' if promised else 'does not promise'} a constant state but state_bytes "
            f"{'are' if constant else 'are not'} constant in the length for {text}",
        )


def trained(kit: PrimitiveKit) -> None:
    """Every parameter gets a gradient that is finite and not zero throughout.

    Those aside that the module declares to be trained by another loss than one on its output.
    """
    for node in kit.genomes():
        place = kit.place(12)
        model = kit.build(node, place)
        y = kit.outputs(model, kit.inputs(place, 63))
        weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
        (y * weights).sum().backward()  # type: ignore[no-untyped-call]
        spared = unreached(model)
        for path, parameter in model.named_parameters():
            if path in spared:
                continue
            slope = parameter.grad
            kind = "no gradient" if slope is None else ""
            if slope is not None and not slope.isfinite().all():
                kind = "a gradient that is not finite"
            elif slope is not None and not slope.any():
                kind = "a gradient of zero"
            kit.wants(not kind, f"{path} gets {kind} in {unparse(node)}")


def deterministic(kit: PrimitiveKit) -> None:
    """The same seed builds the same weights, and the same input gives the same output twice."""
    for node in kit.genomes():
        place = kit.place(12)
        one, two = kit.build(node, place), kit.build(node, place)
        x = kit.inputs(place, 63)
        first = kit.outputs(one, x)
        for again, reason in [
            (kit.outputs(one, x), "in a second call"),
            (kit.outputs(two, x), "from the same seed"),
        ]:
            kit.wants(torch.equal(first, again), f"another output {reason}, from {unparse(node)}")


def batched(kit: PrimitiveKit) -> None:
    """A sequence's output does not depend on the other sequences of the batch."""
    for node in kit.genomes():
        place = kit.place(12)
        model = kit.build(node, place)
        x = kit.inputs(place, 63, rows=3)
        together = kit.outputs(model, x)
        alone = torch.cat([kit.outputs(model, x[row : row + 1]) for row in range(len(x))])
        kit.wants(
            bool((together - alone).abs().max() <= 1e-4 * together.abs().max()),
            f"a sequence's output depends on the rest of its batch, in {unparse(node)}",
        )


def streamed(kit: PrimitiveKit) -> None:
    """What promises to be streamable decodes token by token to what it computes at once.

    A state that was kept is gone on from twice, and gives the same. Where the two are further apart
    than 1e-4 of the output they have to agree in double precision: a descent, or the norm of a
    vector near zero, can make so much of another order of sums.
    """
    place = kit.place(12)
    for node in kit.genomes():
        if Effect.STREAMABLE not in effects(node):
            continue
        model = kit.build(node, place).eval()
        gap = _decoding_gap(kit, model, kit.inputs(place, 63), node)
        if gap > 1e-4:
            x = kit.inputs(place, 63)
            exact = x.double() if x.is_floating_point() else x
            gap = 1e4 * _decoding_gap(kit, model.double(), exact, node)
        kit.wants(gap <= 1e-4, f"decoding is off by {gap:.1e} of the output, in {unparse(node)}")


@torch.no_grad()
def _decoding_gap(kit: PrimitiveKit, model: nn.Module, x: Tensor, node: Primitive) -> float:
    """How far decoding is off, relative to the largest output."""
    wanted = kit.outputs(model, x)
    state = model.init_state(len(x))  # type: ignore[operator]
    got = []
    for i in range(x.shape[1]):
        twice = [_advanced(model, x[:, i], state) for _ in range(2)]
        kit.wants(
            torch.equal(twice[0][0], twice[1][0]),
            f"a step changes the state that it is given, in {unparse(node)}",
        )
        y, state = twice[1]
        got.append(y)
    return float((torch.stack(got, 1) - wanted).abs().max() / wanted.abs().max())


def exported(kit: PrimitiveKit) -> None:
    """The exported file needs torch alone and computes the same, with the same weights."""
    for node in kit.genomes():
        genome = Genome(model_around(node, kit.language))
        place = kit.place(12)
        model = build_at(genome, place, seed=0)
        text = source(genome, place, "weights.pt")
        needed = {name for line in ast.parse(text).body for name in _imported(line)}
        foreign = sorted(needed - {"torch"} - sys.stdlib_module_names)
        kit.wants(not foreign, f"the exported file imports {foreign}, not torch alone")
        space: dict[str, object] = {"__name__": "exported"}
        exec(compile(text, "exported.py", "exec"), space)
        make = space["model"]
        assert callable(make)
        copy = make()
        copy.load_state_dict(model.state_dict())
        ids = torch.randint(VOCABULARY, (2, 63), generator=torch.Generator().manual_seed(0))
        wanted, got = model(ids), copy(ids)
        kit.wants(
            bool((wanted - got).abs().max() <= 1e-6 * wanted.abs().max()),
            f"the exported file computes something else for {unparse(node)}",
        )


CHECKS: tuple[Callable[[PrimitiveKit], None], ...] = (
    documented,
    shaped,
    causal,
    counted,
    costed,
    trained,
    deterministic,
    batched,
    streamed,
    exported,
)


def _ids(x: Tensor) -> Tensor:
    return (x.detach()[..., 0].abs() * 97).long() % VOCABULARY


def _advanced(model: nn.Module, x: Tensor, state: State) -> tuple[Tensor, State]:
    if not x.is_floating_point():
        return model.step(x, state)  # type: ignore[operator, no-any-return]
    return advance(model, x, state, _ids(x))


def _imported(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Import):
        return [one.name.partition(".")[0] for one in statement.names]
    if isinstance(statement, ast.ImportFrom):
        return [(statement.module or "").partition(".")[0]]
    return []

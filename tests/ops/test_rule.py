"""Rules: stable whatever they say, and the published ones among them."""

import random

import jsonschema
import pytest
import torch
from torch import Tensor

import palmette
from palmette.grammar import Sort, canonical, check, edit, graft, parse, sample, unparse
from palmette.grammar.schema import from_json, json_schema, to_json
from palmette.model import atlas
from palmette.model.build import instantiate
from palmette.model.fingerprint import fingerprint, twins
from palmette.ops._base import Place
from palmette.ops._rule_module import in_ball
from palmette.ops._term import by_token
from palmette.ops.kernels.recurrence import recurrence_chunked, recurrence_loop
from palmette.ops.lin import Lin
from palmette.ops.rule import Rule

LANGUAGE = palmette.language()
PLACE = Place(width=12, depth=1, hidden=1.0, vocabulary=256, context=128)

HEBB = "rule(write(old(), key(), value()))"
DELTANET = "rule(write(erase(old(), key(), rate()), key(), value(), rate()))"
GATED_DELTANET = (
    "rule(write(erase(decay(old(), rate(form='slow')), key(), rate()), key(), value(), rate()))"
)
CORRECTED = "rule(correct(old(), key(), value(), rate()))"
OJA = "rule(correct(old(), key(), value(), rate(), by='value'))"


def rule(text: str) -> Rule:
    node = parse(text, LANGUAGE, Sort.OPERATOR)
    assert isinstance(node, Rule)
    return node


def built(node: Rule, width: int = 12) -> torch.nn.Module:
    torch.manual_seed(0)
    place = Place(width=width, depth=1, hidden=1.0, vocabulary=256, context=128)
    return instantiate(node.plan(place))


def tokens(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def streams_of(module: torch.nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The projections [b h t m] of a rule without convolution, made here by hand."""
    found = {}
    parts = (x @ module.project.weight.T).split([*module.mixed, *module.rated], -1)
    for name, part in zip(module.names, parts, strict=True):
        found[name] = part.unflatten(-1, (module.heads, -1)).transpose(1, 2)
    return found


def unit(x: Tensor) -> Tensor:
    return x / (x.pow(2).sum(-1, keepdim=True) + 1e-6).sqrt()


def gap(a: Tensor, b: Tensor) -> float:
    return float(((a - b).abs().max() / b.abs().max()).detach())


@pytest.mark.parametrize("kernel", [recurrence_loop, recurrence_chunked])
@pytest.mark.parametrize("length", [63, 100])
@pytest.mark.parametrize(
    ("text", "decays"),
    [
        (HEBB, False),
        (DELTANET, False),
        (CORRECTED, False),
        (GATED_DELTANET, True),
    ],
    ids=["hebb", "deltanet", "deltanet as one correction", "gated deltanet"],
)
def test_published_rules_are_what_the_kernel_of_the_lin_family_computes(
    text, decays, length, kernel
):
    module = built(rule(text[:-1] + ", conv=0, out_norm='none')"))
    x = tokens((2, length, 12)).requires_grad_()
    weights = tokens((2, length, 12), seed=1)
    inputs = [x, *module.parameters()]

    s = streams_of(module, x)
    q, k, v = unit(s["query"]) * module.key_size**-0.5, unit(s["key_a"]), s["value_a"]
    beta = torch.sigmoid(s["rate_sigmoid_a"]) if text != HEBB else torch.ones_like(v[..., :1])
    log_decay = None
    if decays:
        step = torch.nn.functional.softplus(
            s["rate_slow_a"] + module.dt_bias["rate_slow_a"].view(-1, 1, 1)
        )
        log_decay = -module.A_log["rate_slow_a"].exp().view(-1, 1, 1) * step
    erased = None if text == HEBB else -beta * k
    o, _ = kernel(q, k, beta * v, log_decay, erased)
    wanted = o.transpose(1, 2).flatten(2) @ module.out.weight.T

    got = module(x)
    assert gap(got, wanted) < 1e-5
    slopes = torch.autograd.grad((got * weights).sum(), inputs)
    wanted_slopes = torch.autograd.grad((wanted * weights).sum(), inputs)
    for slope, wanted_slope in zip(slopes, wanted_slopes, strict=True):
        assert gap(slope, wanted_slope) < 1e-5


@pytest.mark.parametrize(
    ("text", "lin"),
    [
        (DELTANET, Lin(erase="beta")),
        (GATED_DELTANET, Lin(erase="beta", decay="scalar")),
    ],
    ids=["deltanet", "gated deltanet"],
)
def test_the_whole_operator_is_lin_s(text, lin):
    """With its convolution, norms and output map; weights copied."""
    module, published = built(rule(text)), built(lin)
    copied = published.state_dict()
    rows = copied["project.weight"].split([36, 4] + [4] * (lin.decay == "scalar"))
    weights = {"project.weight": torch.cat([rows[0], *rows[1:]])}
    if lin.decay == "scalar":  # there the decay's step comes after beta, here rates are in order
        weights["project.weight"] = torch.cat([rows[0], rows[2], rows[1]])
        weights["A_log.rate_slow_a"] = copied["A_log"]
        weights["dt_bias.rate_slow_a"] = copied["dt_bias"]
    weights |= {name: copied[name] for name in ("taps", "out.weight", "out_scale")}
    module.load_state_dict(weights)
    x = tokens((2, 100, 12))
    assert gap(module(x), published(x)) < 1e-5


def test_oja_s_rule_is_the_delta_rule_with_key_and_value_exchanged():
    module = built(rule(OJA[:-1] + ", conv=0, out_norm='none')"))
    x = tokens((1, 63, 12))
    s = streams_of(module, x)
    k, v, rate = unit(s["key_a"]), s["value_a"], torch.sigmoid(s["rate_sigmoid_a"])
    v = v / v.norm(dim=-1, keepdim=True).clamp(min=1.0)
    state, outputs = torch.zeros(1, 4, 3, 3), []
    for i in range(63):
        seen = torch.einsum("bhkv,bhv->bhk", state, v[:, :, i])
        change = torch.einsum("bhk,bhv->bhkv", k[:, :, i] - seen, v[:, :, i])
        state = state + rate[:, :, i, :, None] * change
        q = unit(s["query"][:, :, i]) * 3**-0.5
        outputs.append(torch.einsum("bhkv,bhk->bhv", state, q).flatten(1))
    assert gap(module(x), torch.stack(outputs, 1) @ module.out.weight.T) < 1e-5


def sampled_rules(number: int, first: int = 0) -> list[Rule]:
    found = []
    for seed in range(first, first + number):
        update = sample(LANGUAGE, Sort.UPDATE, random.Random(seed))
        found.append(Rule(update=update, conv=0, heads=2))
    return found


def adversarial_streams(module, length: int, generator) -> dict[str, Tensor]:
    """Projections that push a state, a row each: random, constant, alternating, orthogonal."""
    streams = {}
    for name in module.names:
        wide = 1 if name.startswith("rate_") else 3
        x = torch.randn(4, 2, length, wide, generator=generator)
        x[1] = x[1, :, :1]
        x[2] = x[2, :, :1] * (1 - 2 * (torch.arange(length) % 2)).view(-1, 1)
        if name.startswith("key"):
            x[3] = torch.eye(3)[torch.arange(length) % 3]
        if name.startswith("rate"):
            x = torch.sigmoid(30 * x)  # 0 and 1 but for rounding
        elif name.startswith("value"):
            x = 1e4 * x
        streams[name] = x
    return streams


def test_no_expression_leaves_the_ball_in_two_thousand_adversarial_tokens():
    generator = torch.Generator().manual_seed(0)
    for node in sampled_rules(6, first=100):
        module = built(node, width=6)
        given = module.update.given(adversarial_streams(module, 2000, generator))
        state = torch.zeros(4, 2, 3, 3)
        with torch.no_grad():
            for token in by_token(given, 2000):
                state = in_ball(module.update(state, token))
                # a comparison with NaN would be false, so this also says that all is finite
                assert state.norm(dim=(-2, -1)).max() <= 64.01 * 3, unparse(node)


def test_every_expression_is_nonexpansive_in_the_state():
    """The promise of the file's head: two states never move apart under the same token."""
    generator = torch.Generator().manual_seed(0)
    for node in sampled_rules(150):
        module = built(node, width=6).double()
        streams = adversarial_streams(module, 10, generator)
        given = module.update.given({name: x.double() for name, x in streams.items()})
        for token in by_token(given, 10):
            a = 3 * torch.randn(4, 2, 3, 3, generator=generator, dtype=torch.double)
            b = a + torch.randn(4, 2, 3, 3, generator=generator, dtype=torch.double)
            before = (a - b).norm(dim=(-2, -1))
            after = (module.update(a, token) - module.update(b, token)).norm(dim=(-2, -1))
            assert (after <= before * (1 + 1e-9)).all(), unparse(node)


def test_the_ball_is_the_identity_inside_and_has_a_gradient_at_zero():
    inside = tokens((2, 3, 4, 5))
    assert torch.equal(in_ball(inside), inside)
    zero = torch.zeros(1, 1, 2, 2, requires_grad=True)
    in_ball(zero).sum().backward()
    assert torch.equal(zero.grad, torch.ones(1, 1, 2, 2))
    assert in_ball(torch.full((1, 1, 2, 2), 1e30)).abs().max() <= 64.0


def test_gradients_through_a_long_rule_do_not_grow():
    """However many tokens come after it, a state's slope is at most that of the last state."""
    remembering = 0
    for node in sampled_rules(12, first=500):
        module = built(node, width=6)
        generator = torch.Generator().manual_seed(1)
        given = module.update.given(adversarial_streams(module, 200, generator))
        start = torch.randn(4, 2, 3, 3, generator=generator).requires_grad_()
        state = start
        for token in by_token(given, 200):
            state = in_ball(module.update(state, token))
        direction = torch.randn(4, 2, 3, 3, generator=generator)
        if not state.requires_grad:  # an expression may forget the old state
            continue
        remembering += 1
        (slope,) = torch.autograd.grad((state * direction).sum(), start)
        largest = direction.norm(dim=(-2, -1)) * 1.001
        assert (slope.norm(dim=(-2, -1)) <= largest).all(), unparse(node)
    assert remembering > 6


def test_work_is_counted_from_the_expression():
    """DeltaNet: erase 2, write 1, bound 2, read 1 passes over the state; two scaled keys."""
    node = rule(DELTANET[:-1] + ", conv=0, out_norm='none')")
    h, k, d = 4, 3, 12
    matrices = d * (3 * h * k + h) + h * k * d
    lengths = 2 * h * k * 3  # of the query, and of the key in two places
    by_hand = matrices + h * (6 * k * k + 2 * k) + lengths
    cost = node.cost(PLACE, 63)
    assert cost.parameters == matrices
    assert cost.flops_forward == 2 * by_hand
    assert cost.state_bytes == 4 * h * k * k


def test_a_projection_read_twice_is_counted_once():
    once = rule("rule(write(erase(old(), key(), rate()), key(), value(), rate()))")
    twice = rule("rule(write(erase(old(), key(), rate()), key(of='b'), value(), rate(of='b')))")
    more = twice.cost(PLACE, 63).parameters - once.cost(PLACE, 63).parameters
    assert more == 12 * (12 + 4) + 12 * 4  # rows for a key and for a rate, and the key's taps


def test_names_of_projections_follow_the_text():
    written = palmette.parse(
        "pre(rule(write(erase(old(), key(of='b'), rate(of='c')), key(), value(of='b'), "
        "rate(of='c'))))"
    )
    usual = palmette.parse(
        "pre(rule(write(erase(old(), key(), rate()), key(of='b'), value(), rate())))"
    )
    assert written == usual


@pytest.mark.parametrize(
    ("written", "short"),
    [
        (
            "rule(blend(old(), outer(key(), value()), complement(complement(rate()))))",
            "rule(blend(old(), outer(key(), value()), rate()))",
        ),
        (
            "rule(blend(outer(key(), value()), outer(key(), value()), rate()))",
            "rule(outer(key(), value()))",
        ),
    ],
)
def test_the_canonical_form_leaves_out_what_changes_nothing(written, short):
    assert unparse(canonical(rule(written))) == short


def test_a_state_that_holds_nothing_of_the_token_is_refused():
    with pytest.raises(palmette.errors.GenomeError, match="wanted an Update, got old"):
        rule("rule(old())")


def test_edits_and_grafts_inside_an_expression_are_typed():
    root = palmette.parse(f"pre({GATED_DELTANET})").root
    donor = palmette.parse(f"pre({OJA})").root
    rng = random.Random(0)
    inside = set()
    for _ in range(200):
        made = edit(root, LANGUAGE, rng)
        assert check(made.node, LANGUAGE) == ()
        if len(made.path) > 2:
            inside.add(made.kind)
        mixed = graft(root, donor, LANGUAGE, rng)
        assert check(mixed.node, LANGUAGE) == ()
    assert inside >= {"replace", "tune", "prune", "wrap"}


def test_an_energy_may_differentiate_a_rule_twice():
    module = built(rule(GATED_DELTANET)).double()
    x = torch.randn(1, 4, 12, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradgradcheck(module, (x,), atol=1e-4)


def test_the_atlas_spells_the_delta_rule_as_the_function_that_deltanet_is():
    spelled, deltanet = (fingerprint(atlas.load(n)) for n in ("delta_rule_spelled", "deltanet"))
    assert twins(spelled, deltanet, tolerance=1e-5)


def test_an_expression_is_json_under_the_language_s_schema():
    root = palmette.parse(f"pre({GATED_DELTANET})").root
    data = to_json(root)
    assert from_json(data, LANGUAGE) == root
    schema = json_schema(LANGUAGE, depth=7)
    jsonschema.validate(data, schema)
    data["core"]["op"]["update"]["key"] = {"node": "value"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema)

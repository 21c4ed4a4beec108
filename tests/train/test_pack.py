import pytest
import torch
from tiny import numbers, tiny_spec
from torch import nn

import palmette
from palmette.errors import TrialError
from palmette.model import atlas, build_at, fit
from palmette.ops.forms import PACKED
from palmette.ops.kernels.native.library import unavailable
from palmette.tasks import VOCABULARY
from palmette.train.executor import Member, attempt_pack
from palmette.train.loop import run_trial
from palmette.train.pack import Around, packable, run_any, run_pack
from palmette.train.pack_program import Program, UnpackableError

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="no C++ compiler")

LLAMA = "lm(stack(pre(attn(positions='rope')), pre(glu())))"
SEGMENTS = "lm(hloop(stack(pre(glu())), stack(pre(glu())), segments=2))"
SEEDS = ((0, 3e-3), (0, 6e-3), (1, 6e-3))  # with learning rates


def packed_spec(expression=LLAMA, **changed):
    fields = {"batch_size": 4, "tokens": 5 * 4 * 63, "suite": "text", "kernel": "native-packed"}
    return tiny_spec(expression, **{**fields, **changed})


def specs_of(expression=LLAMA, pairs=SEEDS):
    return [packed_spec(expression, seed=seed, learning_rate=rate) for seed, rate in pairs]


def run(specs, sentences, weights=None):
    members = [Member(spec, weights and weights / f"{n}.pt") for n, spec in enumerate(specs)]
    found = list(run_pack(members, Around(sentences)))
    assert [key for key, _ in found] == [spec.key for spec in specs]
    return [ended for _, ended in found]


def apart(spec, sentences):
    return run_trial(spec.model_copy(update={"kernel": PACKED[spec.kernel]}), sentences)


@pytest.mark.parametrize("name", ["gpt2", "llama", "deltanet", "mamba2", "forgetting", "hgrn"])
def test_a_pack_is_what_its_trials_are(sentences, name):
    specs = specs_of(atlas.load(name).text)
    for spec, found in zip(specs, run(specs, sentences), strict=True):
        own = apart(spec, sentences)
        assert found.kernel == "native-packed"
        assert found.members == 3
        losses = [point.loss_nats for point in found.curve]
        assert losses == pytest.approx([point.loss_nats for point in own.curve], rel=1e-4)
        for split in ("metrics", "select"):
            bits = getattr(found, split)["text"].bits
            assert bits == pytest.approx(getattr(own, split)["text"].bits, rel=1e-4)
        assert found.model_dump(include={"parameters", "width", "depth", "flops_train"}) == (
            own.model_dump(include={"parameters", "width", "depth", "flops_train"})
        )


@pytest.mark.parametrize("name", ["llama", "deltanet"])
def test_a_members_bits_do_not_depend_on_the_others(sentences, name):
    specs = specs_of(atlas.load(name).text)
    together = run(specs, sentences)
    other_way = run([specs[2], specs[0]], sentences)
    assert numbers(other_way[0]) == numbers(together[2])
    assert numbers(other_way[1]) == numbers(together[0])
    alone = run_any(Member(specs[1]), Around(sentences))
    assert alone.kernel == "native-packed"
    assert numbers(alone) == numbers(together[1])


@pytest.mark.parametrize("name", ["llama", "deltanet"])
def test_a_member_that_diverges_leaves_the_others_alone(sentences, name):
    specs = specs_of(atlas.load(name).text, ((0, 3e-3), (0, 1e30), (1, 6e-3)))
    found = run(specs, sentences)
    assert isinstance(found[1], TrialError)
    assert str(found[1]).startswith(("diverged at", "evaluation failed"))
    whole = run([specs[0], specs[2]], sentences)
    assert [numbers(found[0]), numbers(found[2])] == [numbers(one) for one in whole]


def test_a_pack_whose_members_all_diverge_ends(sentences):
    specs = specs_of(pairs=((0, 1e30), (1, 1e31)))
    assert all(isinstance(ended, TrialError) for ended in run(specs, sentences))


def test_points_are_told_by_key_and_seconds_are_shares(sentences):
    specs, told = specs_of(), []
    found = run_pack(
        [Member(s) for s in specs], Around(sentences), lambda k, p: told.append((k, p))
    )
    results = dict(found)
    for spec in specs:
        result = results[spec.key]
        assert tuple(point for key, point in told if key == spec.key) == result.curve
        assert sum(result.phases.values()) == pytest.approx(result.wall_seconds, rel=0.05)
        assert {"build", "record", "data", "step", "optimizer", "evaluation"} <= set(result.phases)
    assert len({result.wall_seconds for result in results.values()}) == 1


def test_each_member_keeps_its_own_weights(sentences, tmp_path):
    specs = specs_of()
    results = run(specs, sentences, tmp_path)
    place = fit(palmette.parse(LLAMA), specs[0].parameters, VOCABULARY, 256).place
    model = build_at(palmette.parse(LLAMA), place, 0)
    states = [torch.load(tmp_path / f"{number}.pt") for number in range(3)]
    for state, result in zip(states, results, strict=True):
        model.load_state_dict(state)
        assert result.weights.endswith(".pt")
    name = next(iter(states[0]))
    assert not torch.equal(states[0][name], states[1][name])


def test_what_cannot_be_packed_runs_apart_and_says_so(sentences):
    specs = specs_of(SEGMENTS)
    for spec, found in zip(specs, run(specs, sentences), strict=True):
        assert (found.kernel, found.members) == ("native", 1)
        assert numbers(found) == numbers(apart(spec, sentences))


def test_large_batches_run_apart(sentences):
    spec = packed_spec(batch_size=9, tokens=2 * 9 * 63)
    (found,) = run([spec], sentences)
    assert found.kernel == "native"


def test_which_trials_may_be_in_one_pack():
    specs = specs_of()
    assert packable(specs)
    assert packable(specs[:1])
    assert not packable([*specs, packed_spec(tokens=4 * 63)])
    assert not packable([*specs, packed_spec("lm(stack(pre(glu())))")])
    assert not packable([packed_spec(kernel="native")])
    assert not packable([packed_spec(batch_size=16)])
    assert not packable([packed_spec(seed=seed) for seed in range(9)])


def test_an_executor_gets_a_report_for_each(sentences):
    class Runs:
        def __call__(self, spec, weights, tell):
            return run_any(Member(spec, weights), Around(sentences))

        def together(self, members, tell):
            return run_pack(members, Around(sentences), tell)

    specs = specs_of(pairs=((0, 3e-3), (0, 1e30)))
    ends = dict(attempt_pack(Runs(), [Member(spec) for spec in specs], lambda key, point: None))
    assert [ends[spec.key].outcome for spec in specs] == ["done", "failed"]


def models(expression=LLAMA, count=2):
    genome = palmette.parse(expression)
    place = fit(genome, 20_000, VOCABULARY, 256).place
    return [build_at(genome, place, seed, "native").train() for seed in range(count)]


def batch(count=2, length=9):
    ids = torch.randint(0, 256, (2, count, 3, length), generator=torch.Generator().manual_seed(0))
    return ids[0], ids[1], torch.full((count, 3), 1 / (3 * length))


def test_a_program_that_is_not_its_models_is_found_out():
    program = Program(models())
    losses = program(*batch())
    program.compare(1, batch(), losses[1].item())
    with pytest.raises(UnpackableError, match=r"packed its loss is 9\.5, by itself"):
        program.compare(1, batch(), 9.5)
    program.parameters[0].grad.mul_(1.01)
    with pytest.raises(UnpackableError, match=r"the gradient of embedding.weight is another one"):
        program.compare(0, batch(), losses[0].item())


class Strange(nn.Module):
    pass


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        (SEGMENTS, "several steps of the optimiser"),
        ("energy(stack(pre(attn()), pre(glu())))", "differentiates its parts itself"),
        ("lm(stack(pre(moe()), pre(attn())))", "depends on numbers"),
        ("lm(stack(pre(ngram(heads=2, rows=1)), pre(attn())))", "may depend on others"),
    ],
)
def test_what_cannot_be_packed(expression, reason):
    with pytest.raises(UnpackableError, match=reason):
        Program(models(expression))(*batch())


def test_the_class_of_a_stranger_is_not_tried():
    own = models()
    own[0].extra = Strange()
    with pytest.raises(UnpackableError, match="Strange is the class of a stranger"):
        Program(own)

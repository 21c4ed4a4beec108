import json
from dataclasses import replace

import pytest
import torch

import palmette
from benchmarks.ratios import __main__ as command
from benchmarks.ratios import theirs, trials
from benchmarks.ratios.agreement import agreement, distance
from benchmarks.ratios.crew import Crew
from benchmarks.ratios.fresh import fresh
from benchmarks.ratios.measure import Pair, Reading, clock, interleave, interval, ratios, timed
from benchmarks.ratios.models import S, data, model, numbers, palmette_step, plain_step, trained
from benchmarks.ratios.report import exit_code, line, write
from benchmarks.ratios.row import Row, Wanted, rows, run
from benchmarks.ratios.rows.decode import Decode
from benchmarks.ratios.rows.operators import GatedDeltaRule, Operator
from palmette.model import atlas, build
from palmette.ops.kernels.native.library import unavailable

native = pytest.mark.skipif(unavailable() is not None, reason="no C++ compiler")


def reading(wall, process=None):
    return Reading(wall, wall if process is None else process)


class Fixed(Operator):
    """Two functions of x, and readings as they are given."""

    pairs = 3

    def __init__(self, theirs, readings=((1.0, 9.0), (1.0, 8.0), (1.0, 7.0))):
        super().__init__("a square", "a product", Wanted(8))
        x = torch.arange(1.0, 5.0, requires_grad=True)
        self.leaves = {"x": x}
        self.ours, self.theirs = lambda: x.square(), lambda: theirs(x)
        self.readings = readings

    def sides(self):
        ours, theirs = (iter(values) for values in zip(*self.readings, strict=True))
        return (lambda: reading(next(ours))), (lambda: reading(next(theirs)))


class WrongSlope(torch.autograd.Function):
    """x * x with half of its derivative."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, slope):
        (x,) = ctx.saved_tensors
        return slope * x


def test_the_ratio_is_the_median_of_pairs():
    outcome = run(Fixed(lambda x: x * x))
    assert outcome.ratio.median == 8.0
    assert (outcome.ratio.low, outcome.ratio.high) == (7.0, 9.0)
    assert outcome.verdict == "reached"
    assert exit_code([outcome]) == 0
    assert "8 [7, 9]" in line(outcome)


def test_a_wish_of_a_largest_share_reads_the_ratio_the_other_way():
    row = Fixed(lambda x: x * x, ((1.0, 2.0), (1.0, 2.0), (3.0, 4.0)))
    row.wanted = Wanted(at_most=0.6)
    outcome = run(row)
    assert outcome.ratio.median == 0.5
    assert outcome.verdict == "reached"


def test_a_side_with_a_wrong_gradient_is_refused_and_not_measured():
    outcome = run(Fixed(WrongSlope.apply))
    assert outcome.refused
    assert not outcome.pairs
    assert outcome.agreement.errors["value"] == 0
    assert exit_code([outcome]) == 1
    assert "refused: gradient in x differs by 1.0e+00 of its norm" in line(outcome)


@pytest.mark.parametrize(
    "theirs", [lambda x: 1.001 * x * x, lambda x: x * x / 0.0], ids=["off", "infinite"]
)
def test_a_side_with_other_values_is_refused(theirs):
    assert run(Fixed(theirs)).verdict == "refused"


def test_a_row_that_fails_is_an_error_and_does_not_end_the_run():
    row = Fixed(lambda x: x @ torch.ones(3))
    outcome = run(row)
    assert outcome.verdict == "error"
    assert "RuntimeError" in line(outcome)
    assert exit_code([outcome]) == 1


def test_a_missed_ratio_is_a_result():
    outcome = run(Fixed(lambda x: x * x, ((1.0, 2.0),) * 3))
    assert outcome.verdict == "missed"
    assert exit_code([outcome]) == 0


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"a": torch.ones(2)}, {}),
        ({}, {"a": torch.ones(2)}),
        ({"a": torch.ones(1)}, {"a": torch.ones(2)}),
    ],
    ids=["surplus", "missing", "misshapen"],
)
def test_what_only_one_side_has_is_a_fault(ours, theirs):
    assert agreement(ours, theirs, 1e-5).faults


def test_nothing_compared_is_no_agreement():
    assert agreement({}, {}, 1e-5).faults == ["nothing was compared"]


def test_a_distance_is_relative_to_the_norm():
    assert distance(torch.tensor([3.0, 4.1]), torch.tensor([3.0, 4.0])) == pytest.approx(0.02)
    assert distance(torch.zeros(2), torch.zeros(2)) == 0


def test_sides_alternate_and_so_does_the_order():
    seen = []

    def side(name):
        return lambda: seen.append(name) or reading(1.0)

    interleave(side("ours"), side("theirs"), 3)
    assert seen == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]


def test_short_runs_are_repeated_within_a_reading():
    count = []
    side = timed(lambda: count.append(1))
    before = len(count)
    side()
    assert len(count) > before + 100


def test_a_busy_machine_is_measured_by_process_time():
    quiet, busy = reading(2.0, 1.99), reading(2.0, 1.0)
    assert clock([Pair(quiet, quiet)]) == "wall"
    assert clock([Pair(quiet, busy)]) == "process"
    assert ratios([Pair(quiet, busy)], "process") == [pytest.approx(1.0 / 1.99)]


def test_the_interval_holds_the_median_as_often_as_it_says():
    normal = torch.randn(4000, 15, generator=torch.Generator().manual_seed(0)).tolist()
    found = [interval(values) for values in normal]
    assert found[0].coverage > 0.95
    held = sum(one.low <= 0 <= one.high for one in found) / len(found)
    assert held == pytest.approx(found[0].coverage, abs=0.015)


def test_of_few_values_the_interval_is_their_range_and_says_how_little_that_holds():
    assert interval([2.0, 1.0]).coverage == 0.5
    assert interval([1.0]).coverage == 0


def test_the_file_keeps_rows_that_did_not_run(tmp_path):
    path = tmp_path / "results" / "ratios.json"
    other = Fixed(lambda x: x * x)
    other.name = "another"
    write(path, {"cores": 2}, [run(other)])
    write(path, {"cores": 4}, [run(Fixed(WrongSlope.apply))])
    kept, refused = json.loads(path.read_text())
    assert (kept["name"], kept["host"]["cores"], kept["verdict"]) == ("another", 2, "reached")
    assert kept["ratio"]["unit"] == "s"
    assert kept["ratio"]["pairs"] == 3
    assert refused["ratio"] is None
    assert refused["verdict"] == "refused"
    assert refused["agreement"]["worst"] == "gradient in x"


def test_a_document_gets_a_table(tmp_path, capsys):
    path = tmp_path / "ratios.json"
    other = Fixed(WrongSlope.apply)
    other.name = "another"
    write(path, {}, [run(Fixed(lambda x: x * x)), run(other)])
    assert command.main(["--results", str(path), "--markdown"]) == 0
    told = capsys.readouterr().out
    assert "| at least 8 | **8 [7, 9] (3 pairs)** | 1 s, 8 s |" in told
    assert "| another | a product | at least 8 | refused | |" in told


def test_names_of_rows_are_their_own_and_every_row_says_what_it_is_against():
    found = list(rows())
    assert len({(row.name, row.against) for row in found}) == len(found)
    assert all(isinstance(row, Row) and row.against for row in found)


@native
def test_the_command_measures_and_writes(tmp_path, monkeypatch, capsys):
    small = GatedDeltaRule(replace(S, batch=1, length=63))
    monkeypatch.setattr(command, "rows", lambda: iter([small]))
    path = tmp_path / "ratios.json"
    assert command.main(["--pairs", "1", "--results", str(path)]) == 0
    told = capsys.readouterr().out
    assert "transformers' torch chunk form" in told
    assert "gemm_gflops" in told
    (row,) = json.loads(path.read_text())
    assert row["agreement"]["error"] < row["agreement"]["tolerance"]
    assert row["host"]["cores"]


def test_a_name_that_no_row_has_is_told(capsys):
    assert command.main(["--rows", "nonsense"]) == 2
    assert "gated delta operator, S" in capsys.readouterr().err


def test_the_list_has_forty_genomes_of_their_own():
    texts = trials.genomes()
    assert len(texts) == 40
    assert len({palmette.parse(text).hash for text in texts}) == 40
    assert texts[2] == str(atlas.load("deltanet"))


def test_transformers_operators_are_put_where_they_compute_what_ours_does():
    shape = replace(S, batch=2, length=63)
    batch = data(shape)
    for name, form in (("gated delta", theirs.GatedDelta), ("Mamba-2", theirs.Mamba2)):
        ours, changed = (model(name, shape, "torch") for _ in range(2))
        theirs.transplant(changed)
        assert sum(type(one) is form for one in changed.modules()) == shape.depth
        assert not agreement(numbers(ours, batch), numbers(changed, batch), 1e-4).faults
    kept = theirs.transplant(build("stack(pre(lin(decay='vector', erase='beta')))", 42_000))
    assert not any(isinstance(one, theirs.GatedDelta) for one in kept.modules())


@native
def test_decoding_by_their_layers_gives_our_logits():
    row = Decode(replace(S, depth=2))
    row.prepare()
    assert not row.check().faults
    with torch.no_grad():
        row.theirs.layers[1].mlp.up_proj.weight.mul_(1.01)
    assert row.check().faults


def test_a_plain_step_and_ours_take_the_same_way():
    shape = replace(S, batch=2, length=63)
    batch = data(shape)
    ours, plain = (model("attention", shape, "torch") for _ in range(2))
    first, second = trained(palmette_step(ours, batch, "torch")), trained(plain_step(plain, batch))
    assert not agreement(first, second, 1e-5).faults
    (losses,) = first.values()
    assert losses[-1] < losses[0]


def test_a_fresh_process_returns_and_says_why_it_failed():
    assert fresh("benchmarks.ratios.fresh:process_seconds", {}) > 0
    with pytest.raises(RuntimeError, match="No module named 'nowhere'"):
        fresh("nowhere:function", {})


def test_a_crew_trains_until_it_is_left():
    with Crew(str(atlas.load("llama")), [0, 1], packed=False, steps=1) as crew:
        assert 0 < crew().process < 60
    assert all(worker.returncode == 0 for worker in crew._workers)

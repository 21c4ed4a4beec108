import json
from dataclasses import replace

import pytest

from benchmarks import placebos, placebos_picture
from palmette.ladder.scales import scale
from palmette.train.executor import Inline
from tests.search.test_scheduler import made_up

LADDER = replace(scale("seedling"), baselines=("gpt2",))


def grown(folder, seed=0, genomes=6, runner=made_up):
    own = placebos.ground("deltanet", LADDER, seed, "parity")
    return placebos.run(own, genomes, folder, lambda campaign, own: Inline(runner))


def test_copies_climb_as_finds_do(tmp_path):
    row = grown(tmp_path)
    assert 1 <= row["copies_on_the_last_rung"] < 6
    assert set(row["others"]) == {"deltanet", "gpt2"}
    assert row["best"][1] < row["best"][0] < row["best"][2]
    assert row["noise"] > 0
    sweep, second = len(LADDER.learning_rates), LADDER.rungs[1].rates
    assert row["trials"] >= (6 + 2) * sweep + (2 + 2) * second


def test_what_was_stopped_goes_on(tmp_path):
    short = grown(tmp_path, genomes=3)
    whole = grown(tmp_path)
    assert whole["trials"] > short["trials"]
    assert grown(tmp_path) == whole


def test_a_copy_that_is_better_by_luck_is_counted(tmp_path):
    def lucky(spec, weights, tell):
        told = made_up(spec, weights, tell)
        bonus = 0.4 if spec.replica else 0.0
        better = {
            name: metric.model_copy(update={"score": metric.score + bonus})
            for name, metric in told.metrics.items()
        }
        return told.model_copy(update={"metrics": better})

    row = grown(tmp_path, runner=lucky)
    assert (row["above_root"], row["above_baselines"]) == (True, True)
    root = row["others"]["deltanet"]
    text = placebos.table([row, row | {"best": root, "above_root": False}, row | {"best": None}])
    assert "2 of 3 campaigns" in text
    assert "first and third: a false find       1 of 2, at most 97.5 %" in text


def test_the_difference_is_the_reports():
    row = {"root": "a", "best": [0.5, 0.47, 0.53], "others": {"a": [0.4, 0.36, 0.44]}}
    made = placebos.ahead(row)
    assert (made.value, made.low) == (pytest.approx(0.1), pytest.approx(0.05))


def test_of_copies_with_normal_noise_few_look_better(capsys):
    assert 0.01 < placebos.simulated(1, campaigns=1500).value < 0.045
    assert 0.02 < placebos.simulated(8, campaigns=1500).value < 0.08
    assert placebos.main(["--simulate", "3"]) == 0
    assert capsys.readouterr().out.startswith("4.")


def test_the_table_is_of_a_file(tmp_path, capsys):
    row = {"root": "deltanet", "seed": 0, "scale": "pocket", "genomes": 16, "best": [0, -1, 1]}
    row["others"] = {"deltanet": [0, -1, 1]}
    lines = [{**row, "seed": n, "above_root": False, "above_baselines": True} for n in range(10)]
    file = tmp_path / "placebos.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert placebos.main(["--table", "--results", str(file)]) == 0
    assert "0 of 10, at most 25.9 %" in capsys.readouterr().out


def test_the_best_copy_is_drawn_beside_the_root_and_the_best_baseline(tmp_path, capsys):
    row = {
        "seed": 3,
        "root": "gpt2",
        "best": [0.52, 0.51, 0.53],
        "others": {"gpt2": [0.5, 0.49, 0.51], "llama": [0.4, 0.3, 0.5], "hybrid": [0.6, 0.5, 0.7]},
    }
    root, copy, other = placebos_picture.drawn([row, {**row, "best": None}]).traces
    assert (root["x"], copy["x"]) == ([0.0], [pytest.approx(0.02)])
    assert other["name"] == "the best other baseline, hybrid"
    assert copy["error_x"]["array"] == [pytest.approx(0.01)]
    alone = row | {"others": {"gpt2": row["others"]["gpt2"]}}
    assert len(placebos_picture.drawn([alone]).traces) == 2
    missing = str(tmp_path / "none.jsonl")
    assert placebos_picture.main([str(tmp_path / "a.png"), "--results", missing]) == 2
    assert "no campaign in" in capsys.readouterr().err


def test_a_campaign_of_failures_has_no_best(tmp_path):
    def fails(spec, weights, tell):
        raise ValueError("diverged")

    row = grown(tmp_path, genomes=3, runner=fails)
    assert row["best"] is None
    assert row["above_root"] is None
    assert placebos.table([row]) == "0 of 1 campaigns have a copy on the last rung"
    with pytest.raises(KeyError):
        row["others"]

import json

import palmette
from benchmarks.calibration import table
from benchmarks.calibration.stages import RUNGS, Stage
from palmette.ladder.calibration import read

GENOMES = [("sample", palmette.parse("pre(glu())")), ("atlas:x", palmette.parse("pre(mlp())"))]
STAGE = Stage("text-1", "text", RUNGS["1"], 2)


def line(genome, seed, rate, score):
    bits = 8 * (1 - score)
    return {
        "stage": "text-1",
        "genome": genome.hash,
        "seed": seed,
        "rate": rate,
        "state": "done",
        "tasks": {"text": {"chance": 8.0, "select": bits, "score": bits, "accuracy": score}},
        "curve": [[3584 * (n + 1), 5.0 - 0.1 * n] for n in range(32)],
        "parameters": 42_000,
        "fits": True,
        "flops_forward": 8e4,
        "flops_train": 3e10,
        "state_bytes": 4096,
        "cpu": 1.25,
    }


def shards(folder):
    first, second = (genome for _, genome in GENOMES)
    lines = [line(first, 77, rate, score) for rate, score in ((1e-2, 0.4), (2e-2, 0.5))]
    lines.append(line(first, 5, 2e-2, 0.52))
    failed = {"stage": "text-1", "genome": second.hash, "seed": 77, "rate": 1e-2}
    lines.append({**failed, "state": "failed", "reason": "diverged"})
    text = "".join(json.dumps(one) + "\n" for one in lines)
    (folder / "text-1.jsonl").write_text(text + '{"cut')


def test_shards_become_a_table_that_is_read_again(tmp_path):
    shards(tmp_path)
    found = read(table.packed([STAGE], GENOMES, tmp_path))
    stage = found.stages["text-1"]
    first, second = (stage.courses[genome.hash] for _, genome in GENOMES)
    (values,) = stage.values(stage.saved()).values()
    assert [round(value, 3) for value in values] == [0.5, 0.52]
    assert [outcome.rate for outcome in first.ranked(stage.saved())] == [2e-2, 1e-2]
    assert (first.parameters, first.fits, first.outcomes[0].cpu_seconds) == (42_000, True, 1.25)
    assert (second.outcomes, second.failed, second.reason) == ((), (1e-2,), "diverged")
    assert found.origins[GENOMES[0][1].hash] == "sample"


def test_the_same_shards_give_the_same_bytes(tmp_path):
    shards(tmp_path)
    assert table.packed([STAGE], GENOMES, tmp_path) == table.packed([STAGE], GENOMES, tmp_path)


def test_the_early_loss_is_of_the_steps_before_the_hundredth():
    curve = line(GENOMES[0][1], 1, 1e-2, 0.5)["curve"]
    # Points every 7 steps: those at steps 77, 84, 91 and 98.
    assert table.early_loss(curve) == round((4.0 + 3.9 + 3.8 + 3.7) / 4, 4)
    assert table.early_loss(curve[:10]) is None

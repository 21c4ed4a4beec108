from palmette.ladder.ranking import best_rows, tree_rows
from tests.ladder.made import SETTING, Made, candidate

SCALE = SETTING.scale


def campaign():
    made = Made()
    root = candidate("root", "root", name="deltanet")
    placebos = [candidate("root", "placebo", replica=n, name=f"placebo {n}") for n in (1, 2)]
    found = [candidate(f"found{n}", parents=(root.genome,), edit="tune") for n in range(4)]
    trials = made.sweep(root, 0.50)
    for placebo, score in zip(placebos, (0.48, 0.52), strict=True):
        trials += made.sweep(placebo, score)
    for one, score in zip(found, (0.4, 0.5, 0.6, 0.7), strict=True):
        trials += made.sweep(one, score)
    for one, values in ((found[3], (0.55, 0.57)), (root, (0.50, 0.54)), (found[0], (0.7, 0.9))):
        for seed, value in enumerate(values):
            trials.append(made.trial(one, 2, value, seed=seed))
    return [root, *placebos, *found], trials


def test_a_higher_rung_ranks_above_any_score_below_and_shrinking_narrows_the_field():
    candidates, trials = campaign()
    rows = best_rows(candidates, trials, SCALE)
    assert [row.rung for row in rows] == ["3", "3", "3", "1", "1", "1", "1"]
    top = rows[0]
    assert top.genome == candidates[3].genome
    assert top.seeds == 2
    assert 0.56 < top.score < top.raw_score
    assert top.low < top.score < top.high


def test_root_and_baselines_are_not_shrunk():
    candidates, trials = campaign()
    root = next(row for row in best_rows(candidates, trials, SCALE) if row.role == "root")
    assert root.score == root.raw_score == 0.52


def test_without_repeated_seeds_or_placebos_an_interval_is_missing_not_zero():
    made, alone = Made(), candidate("a")
    (row,) = best_rows([alone], made.sweep(alone, 0.4), SCALE)
    assert (row.score, row.low, row.high) == (0.4, None, None)


def test_the_tree_has_every_candidate_scored_or_not():
    candidates, trials = campaign()
    rows = tree_rows([*candidates, candidate("new")], trials, SCALE)
    assert [row.score for row in rows][-1] is None
    assert rows[3].edit == "tune"
    assert rows[3].rung == "3"

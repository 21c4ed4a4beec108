"""What a race is told from a campaign's file."""

import pytest

from benchmarks import race
from palmette.store import Store
from palmette.store.dump import dump, load
from tests.exam.held import grown


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    path = tmp_path_factory.mktemp("race") / "p.db"
    with Store(f"sqlite:///{path}") as store:
        grown(store, genomes=8)
        yield load(dump(store, "main", curves=False))


def test_work_is_that_of_all_trials_and_the_best_only_rises(held):
    told = race.course("evolution", held)
    results = [trial.result for trial in held.campaign.trials if trial.result]
    assert told.hours == pytest.approx(sum(one.cpu_seconds for one in results) / 3600)
    assert told.genomes == 8
    assert 1 <= told.finalists < 8
    scores = [step.score for step in told.steps]
    assert scores == sorted(set(scores))
    assert all(0 < step.hours <= told.hours for step in told.steps)
    assert told.best.raw_score == pytest.approx(scores[-1])
    assert told.luck.low < told.luck.value < told.luck.high


def test_a_campaign_without_finalists_has_no_best(held):
    first = held.campaign.trials[0].spec.rung
    low = [trial for trial in held.campaign.trials if trial.spec.rung == first]
    short = held.campaign.model_copy(update={"trials": tuple(low)})
    told = race.course("short", held.model_copy(update={"campaign": short}))
    assert (told.finalists, told.steps, told.best, told.luck) == (0, (), None, None)
    assert "| short |" in race.markdown([told])


def test_every_arm_is_a_line_and_a_row(held):
    courses = [race.course(name, held) for name in ("evolution", "random")]
    names = [trace["name"] for trace in race.drawn(courses).traces]
    assert names[:2] == ["evolution", "random"]
    assert names[2].startswith("the best human baseline")
    assert len(race.markdown(courses).splitlines()) == 4


def test_a_file_that_is_not_there_is_told(tmp_path, capsys):
    assert race.main([str(tmp_path / "race.png"), "evolution=none.json.gz"]) == 2
    assert "no file of: evolution" in capsys.readouterr().err

"""What a price knows of noise, and from where."""

import shutil

import pytest

from benchmarks import exam_rows
from palmette.exam import price
from palmette.exam.experience import FILE, HeldExam, alike, held_exams, rows_of
from palmette.exam.recipe import looking, recipe_of
from palmette.ladder.scales import scale
from palmette.store import Store
from palmette.store.dump import dump
from palmette.store.exams import ExamRoom
from tests.exam.held import held, tiny


@pytest.fixture(scope="module")
def examined(_grown, corpus, tmp_path_factory):
    """A store with a finished exam."""
    path = shutil.copy(_grown, tmp_path_factory.mktemp("examined") / "p.db")
    held(path, corpus)
    return path


@pytest.fixture(scope="module")
def export(examined, tmp_path_factory):
    """What is kept of it."""
    path = tmp_path_factory.mktemp("export") / "campaign.json.gz"
    with Store(f"sqlite:///{examined}", create=False) as store:
        path.write_bytes(dump(store, "main", curves=False))
    return path


def test_an_export_gives_a_row_for_every_genome_that_shares_the_seeds(export, examined):
    kept = exam_rows.held(export)
    with Store(f"sqlite:///{examined}", create=False) as store:
        (exam,) = ExamRoom(store).exams()
        trials = store.campaign(exam.sitting).trials()
    assert kept.rows == rows_of(exam.plan, trials)
    genomes = {entry.genome for entry in exam.plan.entries if entry.replica == 0}
    assert len(kept.rows) == len(genomes)
    assert {len(row) for row in kept.rows} == {exam.plan.looks[0]}
    assert alike(kept.rung, tiny().last)
    assert not alike(kept.rung, tiny().rungs[0])


def test_without_an_exam_of_its_own_a_store_asks_those_that_ship(monkeypatch, tmp_path):
    recipe = tiny()
    rows = ((0.30, 0.34, 0.35), (0.50, 0.52, 0.57), (0.41, 0.45, 0.44))
    shipped = HeldExam(where="docs/campaigns/one", rung=recipe.last, rows=rows)
    monkeypatch.setattr(price, "held_exams", lambda: (shipped,))
    with Store(f"sqlite:///{tmp_path}/p.db") as store:
        known = price.spread_of(store, [], recipe)
        other = price.spread_of(store, [], looking(recipe_of(scale("laptop")), (4, 6)))
    assert known.source == "an exam of before, in docs/campaigns/one"
    assert known.deviation > 0
    assert other.source.startswith("nowhere")


def test_what_ships_is_what_the_script_writes(export, tmp_path, monkeypatch, capsys):
    output = tmp_path / "exams.json"
    assert exam_rows.main([str(export)], output) == 0
    monkeypatch.setattr("palmette.exam.experience.resources.files", lambda package: tmp_path)
    (tmp_path / FILE[0]).mkdir()
    output.rename(tmp_path.joinpath(*FILE))
    assert held_exams() == (exam_rows.held(export),)
    assert exam_rows.main([], output) == 2
    assert "no export with a finished exam" in capsys.readouterr().err

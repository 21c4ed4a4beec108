"""Whole exams over a grown campaign, with trials that are made up in no time."""

import shutil

import pytest

import palmette
from palmette.errors import UserError
from palmette.exam.begin import begin
from palmette.exam.canary import Model
from palmette.exam.examine import models, open_exam, sit
from palmette.model import atlas
from palmette.records import StoredTrial
from palmette.store import Store
from palmette.store.exams import ExamRoom
from tests.exam.held import held, inline, options, trained

PLANTED = palmette.parse("lm(stack(pre(lin(erase='beta')), pre(mlp())))")
GIVEN = [(PLANTED, "mine")]
RUNNER = trained({PLANTED.hash})


def values(exam, trials):
    plan = exam.plan.model_dump_json()
    measured = [(t.trial, t.key, t.state, t.result and t.result.metrics) for t in trials]
    return plan, exam.verdicts, exam.placebos, exam.nulls, measured


def killed_after(number, runner):
    ran = []

    def run(spec, weights, tell):
        if len(ran) >= number:
            raise KeyboardInterrupt
        ran.append(spec)
        return runner(spec, weights, tell)

    return run


@pytest.fixture(scope="module")
def whole(_grown, corpus, tmp_path_factory):
    """An exam of a planted, better design, in a store that is left as it is then."""
    path = shutil.copy(_grown, tmp_path_factory.mktemp("whole") / "p.db")
    return path, *held(path, corpus, RUNNER, GIVEN)


def test_a_planted_design_is_verified_against_two_baselines(whole):
    _, exam, trials = whole
    assert exam.state == "finished"
    score = [v for v in exam.verdicts if v.hypothesis.claim == "score"]
    assert [v.verified for v in score] == [True] * len(score)
    assert {e.label for e in exam.plan.entries} >= {"mine", "gpt2", "gated_deltanet"}
    assert score[0].kind == "untold"
    assert f"{exam.plan.entries[0].parameters:,} parameters" in score[0].sentence
    assert not any(verdict.verified for verdict in exam.placebos)
    assert exam.nulls is not None
    assert {trial.state for trial in trials} == {"done"}


def test_its_trials_stand_apart_and_their_weights_are_kept(whole):
    path, exam, trials = whole
    with Store(f"sqlite:///{path}") as store:
        assert store.latest().config.name == "main"
        sitting = store.campaign(exam.sitting)
        assert sitting.config.kind == "exam"
        last = [t for t in trials if t.spec.rung.startswith(exam.plan.rungs[-1].name)]
        assert all((sitting.weights_directory / f"{t.key}.pt").exists() for t in last)
        rows = ExamRoom(store).ledger()
        assert [row.verified for row in rows] == [v.verified for v in exam.verdicts]


def test_the_canary_hears_the_models_whose_values_count(whole):
    _, exam, trials = whole
    found = models(exam.plan, trials)
    assert all(isinstance(one, Model) and isinstance(one.trial, StoredTrial) for one in found)
    assert len({one.key for one in found}) == len(found)
    assert {one.label for one in found} == {e.label for e in exam.plan.entries}


def test_killed_twice_it_ends_with_the_same_plan_and_values(whole, path, corpus):
    """Both stores are copies of one, so they hold one secret."""
    _, exam, trials = whole
    for number in (7, 20):
        with pytest.raises(KeyboardInterrupt):
            held(path, corpus, killed_after(number, RUNNER), GIVEN)
    again = held(path, corpus, RUNNER, GIVEN)
    assert values(*again) == values(exam, trials)


def test_the_same_command_shows_what_it_has_found_and_trains_nothing(whole, corpus):
    path, exam, trials = whole

    def nothing(spec, weights, tell):
        raise AssertionError("an exam is held once")

    assert values(*held(path, corpus, nothing, GIVEN)) == values(exam, trials)


def test_an_examined_genome_needs_a_fresh_draw(whole, corpus, tmp_path):
    path = shutil.copy(whole[0], tmp_path / "p.db")
    with Store(f"sqlite:///{path}") as store:
        campaign = store.campaign("main")
        other = (palmette.parse("lm(stack(pre(conv()), pre(glu())))"), "other")
        asked = options(corpus, candidates=2)
        with pytest.raises(UserError) as told:
            open_exam(store, campaign, [*GIVEN, other], asked)
        assert str(told.value) == (
            "mine was examined on these sealed tasks already, in exam 1; examine it on others "
            "with --fresh-draw\n"
            f"other is none of the campaign's genomes, and since {campaign.draws()[0].opened_at} "
            "anybody may know these sealed tasks; examine it on others with --fresh-draw"
        )
        opened = open_exam(store, campaign, GIVEN, options(corpus, fresh_draw=True))
        assert opened.fresh
        assert opened.kept is None
        assert [draw.number for draw in campaign.draws()] == [1]
        exam = sit(opened, inline(RUNNER))
        assert [draw.number for draw in campaign.draws()] == [1, 2]
        assert exam.plan.draw == 2
        assert exam.plan.suite != whole[1].plan.suite
        assert exam.plan.hypotheses[0].number == len(whole[1].plan.hypotheses) + 1
        assert exam.plan.price.noise is not None
        assert exam.plan.price.noise_from == "exam 1 of this store"


def test_the_same_command_run_twice_at_once_begins_one_exam(path, corpus):
    with Store(f"sqlite:///{path}") as store:
        one, other = (
            open_exam(store, store.campaign("main"), GIVEN, options(corpus)) for _ in range(2)
        )
        assert one.kept is None
        assert other.kept is None
        first = begin(one, inline(RUNNER), 1, lambda campaign, update: None)
        again = begin(other, inline(RUNNER), 1, lambda campaign, update: None)
        assert again == first
        assert [exam.number for exam in ExamRoom(store).exams()] == [first.number]
        assert len(ExamRoom(store).ledger()) == len(first.plan.hypotheses)


def test_an_unfinished_exam_goes_on_without_its_genomes_being_named(path, corpus):
    with pytest.raises(KeyboardInterrupt):
        held(path, corpus, killed_after(3, RUNNER), GIVEN)
    with Store(f"sqlite:///{path}") as store:
        opened = open_exam(store, store.campaign("main"), None, options(corpus))
        assert opened.kept is not None
        assert [e.label for e in opened.entries if e.role == "candidate"] == ["mine"]


def test_the_campaigns_best_sits_if_nobody_is_named_and_opening_writes_nothing(path, corpus):
    with Store(f"sqlite:///{path}") as store:
        campaign = store.campaign("main")
        before = store.campaigns(), campaign.draws(), ExamRoom(store).exams()
        opened = open_exam(store, campaign, None, options(corpus))
        assert (store.campaigns(), campaign.draws(), ExamRoom(store).exams()) == before
        found = {c.genome for c in campaign.candidates() if c.role == "found"}
        assert {one.genome.hash for one in opened.candidates} < found
        assert opened.price.trials > 0
        assert opened.price.worker_seconds is not None


def test_everything_that_speaks_against_it_is_told_at_once(path, corpus, tmp_path, monkeypatch):
    elsewhere = tmp_path / "text"
    elsewhere.mkdir()
    for file in list(corpus.iterdir())[:50]:
        (elsewhere / file.name).write_text(file.read_text())
    monkeypatch.setattr("palmette.exam.refusals.NUMERICS", 99)
    given = [(atlas.load("gpt2"), "gpt2"), (PLANTED, "mine")]
    asked = options(elsewhere, scale="pocket", leave_out=("llama", "hybird"))
    with Store(f"sqlite:///{path}") as store, pytest.raises(UserError) as told:
        open_exam(store, store.campaign("main"), given, asked)
    lines = str(told.value).splitlines()
    for line, wanted in zip(
        lines,
        (
            "campaign main was trained at scale seedling, not pocket",
            "campaign main has numerics 1 and this version 99",
            "2 candidates are more than the 1 that sit an exam",
            "--leave-out wants human baselines, got 'hybird'",
            "gpt2 is the human baseline gpt2 itself; examine it against the others with "
            "--leave-out gpt2",
        ),
        strict=True,
    ):
        assert line.startswith(wanted)
    assert "--candidates 2" in lines[2]
    assert "palmette grow --scale pocket" in lines[0]


def test_going_on_over_other_text_is_refused(path, corpus, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        held(path, corpus, killed_after(3, RUNNER), GIVEN)
    elsewhere = tmp_path / "text"
    elsewhere.mkdir()
    for file in list(corpus.iterdir())[:50]:
        (elsewhere / file.name).write_text(file.read_text())
    with Store(f"sqlite:///{path}") as store:
        with pytest.raises(UserError, match="exam 1 was begun and cannot be gone on with:") as told:
            open_exam(store, store.campaign("main"), GIVEN, options(elsewhere))
        assert "give the text that it began with as --corpus" in str(told.value)


def test_a_campaign_that_found_nothing_and_one_that_is_none(path, corpus):
    with Store(f"sqlite:///{path}") as store:
        own = store.campaign("main").config
        empty = store.create_campaign(own.model_copy(update={"name": "empty"}))
        with pytest.raises(UserError, match="no found genome with a score yet; run `palmette grow"):
            open_exam(store, empty, None, options(corpus))
        exam = store.create_campaign(own.model_copy(update={"name": "t", "kind": "tune"}))
        with pytest.raises(UserError, match="t is of kind tune; an exam is of a search's genomes"):
            open_exam(store, exam, None, options(corpus))


def test_too_few_seeds_say_how_many_would_do(path, corpus):
    with Store(f"sqlite:///{path}") as store:
        campaign = store.campaign("main")
        with pytest.raises(UserError, match="2 seeds are too few for any verdict") as told:
            open_exam(store, campaign, GIVEN, options(corpus, looks=(2,)))
        enough = int(str(told.value).partition("give --looks ")[2].partition(",")[0])
        assert 2 < enough <= 6
        assert open_exam(store, campaign, GIVEN, options(corpus, looks=(enough,)))
        with pytest.raises(UserError, match="too few for any verdict"):
            open_exam(store, campaign, GIVEN, options(corpus, looks=(enough - 1,)))


def test_a_finished_exam_is_left_alone_by_the_canary_too(whole, corpus):
    path, exam, _ = whole
    with Store(f"sqlite:///{path}") as store:
        opened = open_exam(store, store.campaign("main"), GIVEN, options(corpus))

        def nobody(campaign):
            raise AssertionError("there is nothing left to do")

        assert sit(opened, nobody, reloading=nobody) == exam

"""`palmette verify`: the plan, the verdicts, the page, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from palmette.cli import verify as command
from palmette.exam import opening
from palmette.records import Exam, Offer
from palmette.store import Store
from palmette.store.exams import ExamRoom
from palmette.train.executor import Inline
from tests.exam.held import grown, task, tiny, trained

Run = Callable[..., Result]
LEFT_OUT = ("llama", "deltanet", "mamba2", "hybrid")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(60):
        lines = (f"document {number} says {n * n * (number + 3)} on line {n}" for n in range(130))
        (folder / f"{number}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grown") / "p.db"
    with Store(f"sqlite:///{path}") as store:
        grown(store)
    return path


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    """A store with the grown campaign `main`."""
    return Path(shutil.copy(made, tmp_path / "p.db"))


@pytest.fixture
def found(made: Path) -> list[str]:
    """Hashes of the genomes that `main` has found, best first."""
    with Store(f"sqlite:///{made}", create=False) as store:
        campaign = store.campaign("main")
        return [one.genome for one in campaign.candidates() if one.role == "found"]


class Training:
    """What the command is given in the place of pools: made-up trials, made-up canaries."""

    better: tuple[str, ...] = ()
    by = 0.1
    honest = True

    def pool(self, *given: object) -> Inline:
        return Inline(trained(self.better, self.by))

    def reloaders(self, *given: object) -> Inline:
        def again(spec, weights, tell):  # type: ignore[no-untyped-def]
            seen = trained(self.better if self.honest else (), self.by)(spec, None, tell)
            fresh = {name: task(0.01) for name in seen.metrics}
            return seen.model_copy(update={"select": fresh})

        return Inline(again)


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Training:
    own = Training()
    monkeypatch.setattr(command, "pool_of", own.pool)
    monkeypatch.setattr(command, "reloaders", own.reloaders)
    monkeypatch.setattr(opening, "recipe_of", lambda ladder: tiny())
    return own


@pytest.fixture
def examine(palmette: Run, store: Path, corpus: Path, training: Training) -> Run:
    """Runs `verify` on the store, against two baselines that are not tuned."""

    def run(*arguments: str) -> Result:
        left = [word for name in LEFT_OUT for word in ("--leave-out", name)]
        common = ("--corpus", str(corpus), "--storage", f"sqlite:///{store}", *left)
        return palmette(
            "verify", *common, "--tuning-trials", "0", "-o", str(store.parent / "out"), *arguments
        )

    return run


def test_a_better_design_is_verified_and_shown_again(
    examine: Run, found: list[str], training: Training, store: Path
) -> None:
    training.better = (found[0],)
    result = examine(found[0][:10])
    assert result.exit_code == 0, result.stderr
    for told in (
        "exam of campaign main", "who sits", "hypothesis", "price:", "tuned baselines: none",
        "ledger: nothing was examined before", "draw: SHA-256", "is open, sealed tasks exam/",
    ):  # fmt: skip
        assert told in result.stderr
    assert "verified" in result.stdout
    assert "saved models, loaded and evaluated again" in result.stdout
    assert "exams resampled with nothing to find" in result.stdout
    assert "1 placebo was verified" in result.stdout
    page = (store.parent / "out" / "exam.html").read_text()
    assert f"Verified: {found[0][:8]}" in page
    again = examine("--exam", "1", "-f", "json")
    assert again.exit_code == 0
    exam = Exam.model_validate_json(again.stdout)
    assert exam.state == "finished"
    assert exam.spent is not None
    assert exam.spent.trials == len(_trials(store))
    assert len(exam.canary) == sum(
        len(one.seeds) for one in exam.sat if one.rung == exam.plan.rungs[-1].name
    )


def test_nothing_verified_exits_with_1_and_the_same_command_reads_it(
    examine: Run, found: list[str], training: Training, store: Path
) -> None:
    training.better, training.by = tuple(found), -0.1
    first = examine("-f", "json")
    assert first.exit_code == 1, first.stderr
    exam = Exam.model_validate_json(first.stdout)
    assert not any(verdict.verified for verdict in exam.verdicts)
    trials = len(_trials(store))
    again = examine()
    assert again.exit_code == 1
    assert "exam 1, begun" in again.stderr
    assert len(_trials(store)) == trials
    assert "not verified" in again.stdout


def test_a_canary_that_fails_lets_nothing_pass(
    examine: Run, found: list[str], training: Training
) -> None:
    training.better, training.honest = (found[0],), False
    result = examine(found[0][:10])
    assert result.exit_code == 1
    assert "saved models failed; the first is" in result.stdout
    assert "in another process, the trainer told" in result.stdout
    assert "so nothing of this exam counts." in result.stdout
    exam = Exam.model_validate_json(examine("--exam", "1", "-f", "json").stdout)
    assert not any(row.verified for row in exam.ledger)


def test_the_price_writes_nothing(examine: Run, store: Path) -> None:
    before = store.read_bytes()
    result = examine("--price", "-f", "json")
    assert result.exit_code == 0, result.stderr
    told = Offer.model_validate_json(result.stdout)
    assert told.exam is None
    assert told.draw is not None
    assert told.draw.secret is None
    assert told.price.trials > 0
    assert [one.number for one in told.hypotheses] == list(range(1, len(told.hypotheses) + 1))
    shown = examine("--price")
    assert shown.exit_code == 0
    assert f"price: {told.price.trials} trials at most" in shown.stdout
    assert store.read_bytes() == before
    assert not (store.parent / "out").exists()


def test_an_interrupted_exam_is_taken_up_by_the_same_command(
    examine: Run,
    found: list[str],
    training: Training,
    monkeypatch: pytest.MonkeyPatch,
    store: Path,
) -> None:
    training.better, training.by = tuple(found), -0.1
    run, left = trained(training.better, training.by), iter(range(7))

    def some(*arguments):  # type: ignore[no-untyped-def]
        if next(left, None) is None:
            raise KeyboardInterrupt
        return run(*arguments)

    monkeypatch.setattr(command, "pool_of", lambda *given: Inline(some))
    stopped = examine()
    assert stopped.exit_code == 130
    assert "nothing that finished is lost. The same command continues it." in stopped.stderr
    running = examine("--exam", "1")
    assert running.exit_code == 1
    assert "No verdict has been reached" in running.stdout
    other = store.parent / "other.txt"
    other.write_text("\n".join(f"another text, line {n} of {n * 7}" for n in range(9000)))
    refused = examine("--corpus", str(other))
    assert refused.exit_code == 2
    assert "exam 1 was begun and cannot be gone on with" in refused.stderr
    assert "give the text that it began with as --corpus" in refused.stderr
    assert "--fresh-draw begins another" not in examine("--price").stdout
    told = examine("--price", "--looks", "2,3", "--leave-out", "gpt2").stdout
    assert (
        "exam 1 stays as it was begun: looks after 4 and 6 seeds, not 2 and 3; gpt2 among" in told
    )
    monkeypatch.setattr(command, "pool_of", training.pool)
    finished = examine("-f", "json")
    assert finished.exit_code == 1, finished.stderr
    assert "exam 1, begun" in finished.stderr
    assert json.loads(finished.stdout)["state"] == "finished"
    done = [trial for trial in _trials(store) if trial.state == "done"]
    assert len({trial.key for trial in done}) == len(done)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--scale", "pocket"), "was trained at scale seedling, not pocket"),
        (("--looks", "2"), "2 seeds are too few for any verdict"),
        (("--looks", "6,4"), "judged after rising numbers of seeds"),
        (("--looks", "six"), "--looks wants numbers of seeds such as 6,12, got 'six'"),
        (("--looks", "4,6", "--seeds", "6"), "leave --seeds out"),
        (("--tokens", "0"), "an exam trains on more than no tokens"),
        (("--leave-out", "gpt3"), "--leave-out wants human baselines, got 'gpt3'"),
        (("gpt2",), "gpt2 is the human baseline gpt2 itself"),
        (("nothing",), "no genome is called 'nothing'"),
        (("deltanet", "mamba2", "llama"), "3 candidates are more than the 1 that sit an exam"),
        (("--exam", "3"), "holds no exam yet"),
        (("--exam", "3", "gpt2"), "--exam shows an exam of the store and takes no genome"),
        (("--campaign", "other"), "no campaign is called 'other'"),
    ],
)
def test_mistakes_are_told_and_exit_with_2(
    examine: Run, arguments: tuple[str, ...], told: str
) -> None:
    result = examine(*arguments)
    assert result.exit_code == 2, result.stdout
    assert told in result.stderr


def test_an_examined_genome_and_its_children_need_a_fresh_draw(
    examine: Run, found: list[str], store: Path
) -> None:
    assert examine(found[0][:10]).exit_code in (0, 1)  # it sat; what came out is beside the point
    with Store(f"sqlite:///{store}", create=False) as held:
        candidates = held.campaign("main").candidates()
        children = [one.genome for one in candidates if found[0] in one.parents]
    child = next(genome for genome in children if genome in found)
    refused = examine(child[:10])
    assert refused.exit_code == 2
    assert f"descends from {found[0][:8]}, which was examined on these sealed" in refused.stderr
    assert "--fresh-draw" in refused.stderr
    assert examine(child[:10], "--fresh-draw", "--price").exit_code == 0


def test_other_numerics_are_refused(examine: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("palmette.exam.refusals.NUMERICS", 99)
    result = examine()
    assert result.exit_code == 2
    assert "campaign main has numerics 1 and this version 99" in result.stderr


def test_an_empty_store_says_what_to_do(palmette: Run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'none.db'}"
    result = palmette("verify", "--storage", url)
    assert result.exit_code == 2
    assert "run `palmette grow` first" in result.stderr
    assert not (tmp_path / "none.db").exists()
    with Store(url):
        pass
    result = palmette("verify", "--storage", url)
    assert result.exit_code == 2
    assert "holds no campaign yet; run `palmette grow` first" in result.stderr


def test_a_sealed_task_is_no_suite(palmette: Run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'p.db'}"
    result = palmette("grow", "--suite", "mazes", "--storage", url, "-o", str(tmp_path))
    assert result.exit_code == 2
    assert "mazes" in result.stderr
    assert "sealed" in result.stderr


def _trials(store: Path) -> list:  # type: ignore[type-arg]
    with Store(f"sqlite:///{store}", create=False) as held:
        (exam,) = ExamRoom(held).exams()
        return held.campaign(exam.sitting).trials()

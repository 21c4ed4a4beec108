"""`grow` and `compare`: the user's mistakes, and one tiny real run that is killed in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from palmette.cli.grow import told_failures
from palmette.records import CampaignConfig, CompareRow
from palmette.search.start import Plan, open_campaign, prepare
from palmette.store import Store

ROOT = Path(__file__).parents[2]
TEXT = "It was the best of times, it was the worst of times, it was the age of wisdom.\n"


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'palmette.db'}"


@pytest.fixture
def empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    return str(tmp_path / "empty")


@pytest.fixture
def binary_file(tmp_path):
    path = tmp_path / "binary.bin"
    path.write_bytes(bytes(range(256)) * 4000)
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "wording"),
    [
        (["--budget", "soon"], "a budget is a time such as 10m"),
        (["--budget", "0genomes"], "a budget is a time such as 10m"),
        (["--scale", "pokcet"], "no scale is called 'pokcet'; did you mean 'pocket'"),
        (["--proposer", "evolutoin"], "did you mean 'evolution'"),
        (["--proposer", ","], "wants the names of one proposer or more"),
        (["--suite", "txet"], "did you mean 'text'"),
        (["--root", "deltanett"], "did you mean 'deltanet'"),
        (["--root", "pre(lin(erase='bta'))"], "did you mean 'beta'"),
        (["--root", "__import__('os').system('x')"], "genome line 1"),
        (["--corpus", "/no/such/text"], "/no/such/text"),
        (["--storage", "nonsense"], "nonsense"),
        (["--storage", "sqlite:////no/such/folder/p.db"], "/no/such/folder"),
        (["--campaign", "a/b"], "a/b"),
        (["--llm-study", "--proposer", "evolution,random"], "--budget 4genomes at least"),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else "",
)
def test_a_mistake_is_told_in_a_sentence_and_loses_nothing(
    palmette, url, tmp_path, arguments, wording
):
    options = ["--scale", "seedling", "--budget", "1genomes", "-o", str(tmp_path / "out")]
    if "--storage" not in arguments:
        options += ["--storage", url]
    result = palmette("grow", *options, *arguments)
    assert result.exit_code == 2, result.output
    assert wording in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


def test_a_corpus_without_text(palmette, url, tmp_path, empty_folder, binary_file):
    for corpus in (empty_folder, binary_file):
        result = palmette("grow", "--storage", url, "--corpus", corpus, "-o", str(tmp_path / "out"))
        assert result.exit_code == 2
        assert corpus in "".join(result.output.split("\n"))


def test_an_output_that_is_a_file(palmette, url, tmp_path):
    (tmp_path / "out").write_text("here")
    result = palmette("grow", "--storage", url, "-o", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert "-o wants a folder" in result.output


def opened(url, **plan):
    ground = prepare(Plan(scale="seedling", suite="parity", **plan))
    with Store(url) as store:
        return open_campaign(store, ground).config


def test_another_root_seed_or_suite_under_the_same_name_is_refused(palmette, url, tmp_path):
    config: CampaignConfig = opened(url)
    common = [
        "--storage",
        url,
        "--scale",
        "seedling",
        "-o",
        str(tmp_path / "out"),
        "--suite",
        "parity",
    ]
    result = palmette("grow", *common, "--root", "llama", "--seed", "3")
    told = " ".join(result.output.split())
    assert result.exit_code == 2
    assert "root" in told
    assert "seed" in told
    assert "--campaign" in told
    with Store(url) as store:
        assert store.latest().config == config


def test_a_second_grow_on_the_same_campaign_is_refused(palmette, url, tmp_path):
    opened(url)
    with Store(url) as store, store.latest().lease("grow"):
        result = palmette(
            "grow", "--storage", url, "--scale", "seedling", "--suite", "parity",
            "-o", str(tmp_path / "out"),
        )  # fmt: skip
    assert result.exit_code == 2
    assert str(os.getpid()) in result.output


def test_failed_trials_are_told_with_the_reason_of_most(grown):
    with Store(grown.url) as store:
        trials = store.latest().trials()
    failed = sum(trial.state == "failed" for trial in trials)
    told = f"{failed} of {len(trials)} trials failed (diverged at 4,096 tokens: loss is nan); "
    assert told_failures(trials) == told + "`palmette trials` lists them"
    other = trials[2].model_copy(update={"reason": "out of memory"})
    assert other.state == "failed"
    told = told_failures([*trials, other])
    assert f"{failed + 1} of {len(trials) + 1} trials failed ({failed} of them: diverged" in told
    assert told_failures(trials[:2]) is None


def test_compare_wants_two_different_genomes(palmette, url):
    result = palmette("compare", "llama", "llama", "--storage", url)
    assert result.exit_code == 2
    assert "two different genomes" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "llama", "gpt2", "--seeds", "1000000000"],
        ["show", "llama", "--params", "9" * 30],
        ["export", "llama", "-o", "x.py", "--params", "9" * 30],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_number_that_no_machine_could_work_off(palmette, arguments):
    result = palmette(*arguments)
    assert result.exit_code == 2
    assert "less than or equal to" in " ".join(result.output.split())


def test_compare_at_a_rung_that_is_not_there(palmette, url):
    result = palmette("compare", "llama", "gpt2", "--rung", "9", "--storage", url)
    assert result.exit_code == 2
    assert "rungs 1 to 3" in result.output


def run(*arguments, **options):
    command = [sys.executable, "-m", "palmette", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )


def grow(url, output, budget="3genomes"):
    return run(
        "grow", "--scale", "seedling", "--suite", "parity", "--budget", budget,
        "--workers", "1", "--storage", url, "-o", str(output),
    )  # fmt: skip


def test_killed_in_the_middle_and_started_again_it_is_the_same_tree(tmp_path):
    """The benchmark that compares whole stores, at its smallest."""
    script = [sys.executable, str(ROOT / "benchmarks" / "resume.py"), "--scale", "seedling"]
    script += [
        "--budget",
        "3genomes",
        "--kills",
        "1",
        "--after",
        "12",
        "--directory",
        str(tmp_path),
    ]
    done = subprocess.run(script, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 left over" in done.stdout
    assert "the same, bit for bit" in done.stdout
    page = (tmp_path / "broken" / "report.html").read_text()
    assert "Candidates, not discoveries" in page
    again = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "whole" / "best.py")],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert "parameters" in again.stdout


def test_an_interrupt_ends_cleanly_and_says_how_to_go_on(url, tmp_path):
    process = grow(url, tmp_path / "out", "500genomes")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not done_trials(url):
        time.sleep(0.2)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)  # pressed twice: the store is put in order all the same
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 130, output
    assert "The same command continues it" in " ".join(output.split())
    assert not psutil.wait_procs(children, timeout=3)[1]
    with Store(url, create=False) as store:
        assert store.latest().state == "stopped"
        assert not [t for t in store.latest().trials() if t.state == "running"]


def done_trials(url):
    try:
        with Store(url, create=False) as store:
            return sum(t.state == "done" for t in store.latest().trials())
    except ValueError:
        return 0


def test_compare_pairs_seeds_and_prints_json(url):
    process = run(
        "compare", "gpt2", "gated_deltanet", "--scale", "seedling", "--rung", "1", "--seeds", "2",
        "--suite", "parity", "--storage", url, "--workers", "2", "-f", "json",
    )  # fmt: skip
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    rows = [CompareRow.model_validate(row) for row in json.loads(output[output.index("[") :])]
    assert [row.name for row in rows] == ["gpt2", "gated_deltanet"]
    assert rows[0].difference is None
    second = rows[1]
    assert second.difference == pytest.approx(second.score - rows[0].score)
    assert second.difference_low < second.difference < second.difference_high
    assert second.seeds == 2

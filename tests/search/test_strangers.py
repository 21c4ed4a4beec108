"""A stranger's file through the locked-down process, the gates, the store and the workers."""

from pathlib import Path

import pytest

import palmette
from palmette import ops
from palmette.errors import UserError
from palmette.model.stranger.node import admit, expression
from palmette.records import TrialSpec
from palmette.search import strangers
from palmette.search.strangers import check_genome, examine, introduce, kept, leaks, recall, told
from palmette.store import Store
from palmette.testing.example_records import example_config
from palmette.train.loop import run_trial
from palmette.train.pool import Pool
from palmette.train.sandbox import Answer, Limits
from palmette.train.seeding import NUMERICS

FILES = Path(__file__).parents[1] / "strangers"
FEW = ["future_change", "batch"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files as they would lie on a user's disk."""
    made = tmp_path_factory.mktemp("layers")
    for file in FILES.glob("*.txt"):
        (made / f"{file.stem}.py").write_text(file.read_text("utf-8"), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def average(folder):
    return examine(str(folder / "average.py"), gates=FEW)


@pytest.fixture
def admitted(average):
    admit(average)
    yield palmette.parse(expression(average))
    if average.name in palmette.language():
        ops.dismiss(average.name)


def test_a_good_layer_is_introduced(average):
    assert [(one.gate, one.passed) for one in average.gates] == [
        ("batch", True), ("future_change", True),
    ]  # fmt: skip
    assert leaks(average) == []
    assert told(average) == (
        "average.py: GatedAverage(d_model=width) maps [b t d] to [b t d]; multiples of 4; "
        f"{average.protection}"
    )


def test_everything_that_it_does_besides_computing_is_told(folder):
    with pytest.raises(UserError) as said:
        examine(str(folder / "conduct.py"), gates=["batch"])
    assert str(said.value).splitlines() == [
        'conduct.py line 18 (attempt(lambda: open("mine.txt", "w"))) writes to a file; a layer may '
        "only compute",
        'conduct.py line 19 (attempt(lambda: socket.create_connection(("127.0.0.1", 9)))) asks the '
        "network for an address; a layer may only compute",
        'conduct.py line 25 (attempt(lambda: subprocess.run(["true"]))) starts another program; a '
        "layer may only compute",
        "conduct.py line 12 (deed()) starts a process; a layer may only compute",
        "conduct.py line 30 (attempt(lambda: os.kill(os.getppid(), 9))) sends signals to "
        "processes; a layer may only compute",
    ]


def test_one_that_never_ends_has_a_verdict(tmp_path, monkeypatch):
    slow = tmp_path / "slow.py"
    slow.write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(strangers, "LIMITS", Limits(wall_seconds=1.0))
    with pytest.raises(UserError, match=r"^slow\.py: it had not finished after 1 s \(\w+"):
        introduce(str(slow))


def test_what_is_known_is_not_asked_again(folder, average, monkeypatch, tmp_path):
    monkeypatch.setattr(strangers, "user_cache_path", lambda name: tmp_path / name)
    asked = []

    def answered(function, request, limits):
        asked.append(request["given"])
        value = {"faults": [], "stranger": average.model_dump(mode="json")}
        return Answer(value, None, average.protection, 0.0)

    monkeypatch.setattr(strangers, "run", answered)
    path = str(folder / "average.py")
    assert [introduce(path), introduce(path)] == [average, average]
    assert asked == [{}]
    introduce(path, ["num_heads=2"])
    assert asked == [{}, {"num_heads": 2}]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("averages.py", r"there is no file .*averages\.py; did you mean .*average\.py\?"),
        ("nowhere/x.py", r"there is no file .*nowhere/x\.py$"),
        ("folder.py", r"folder\.py is a folder; name a Python file in it"),
        ("binary.py", r"binary\.py is not text, so it is not Python"),
        ("huge.py", r"huge\.py has 1,048,577 bytes, a layer's file at most a million"),
    ],
)
def test_what_is_no_file_of_python_is_told(folder, name, said):
    (folder / "folder.py").mkdir(exist_ok=True)
    (folder / "binary.py").write_bytes(b"\xff\xfe\x00")
    (folder / "huge.py").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(UserError, match=said):
        introduce(str(folder / name))


def spec(genome, **changed):
    fields = {
        "genome": genome.hash, "expression": genome.text, "rung": "tiny", "rung_digest": "none",
        "parameters": 12_000, "tokens": 5 * 8 * 63, "batch_size": 8, "length": 63,
        "evaluation_tokens": 500, "suite": "recall", "suite_digest": "none", "seed": 0,
        "learning_rate": 6e-3, "numerics": NUMERICS,
    }  # fmt: skip
    return TrialSpec(**{**fields, **changed})


def test_behind_walls_the_same_numbers_come_out(average, admitted, tmp_path):
    weights = tmp_path / "weights"
    real = spec(admitted)
    with Pool(1, None, strangers=[average], weights=weights) as pool:
        assert pool.protection == average.protection
        pool.submit(real, weights / "trained.pt")
        (ended,) = pool.wait(60)
    assert ended.outcome == "done", ended.detail or ended.reason
    assert [path.name for path in weights.iterdir()] == ["trained.pt"]
    admit(average, run=True)  # the layer of this test may run here
    here = run_trial(real, None)
    assert [p.loss_nats for p in ended.result.curve] == [p.loss_nats for p in here.curve]
    assert ended.result.parameters == here.parameters


def test_gates_over_a_genome_with_a_strangers_part_run_behind_walls(admitted):
    results, protection = check_genome(admitted, ["export_parity", "parameters"])
    assert [one.passed for one in results] == [True, True], results
    assert protection


def test_a_store_keeps_the_file_for_when_it_is_gone(average, admitted, tmp_path):
    url = f"sqlite:///{tmp_path / 'palmette.db'}"
    with Store(url) as store:
        campaign = store.create_campaign(example_config())
        assert strangers.remember(campaign, [admitted]) == (average,)
        assert strangers.remember(campaign, [admitted]) == (average,)
        assert campaign.strangers() == [average]
    ops.dismiss(average.name)
    assert kept("gone/average.py", url) == average
    assert kept("average.py:Other", url) is None
    recall(admitted.text, url)
    assert palmette.parse(admitted.text) == admitted
    with pytest.raises(UserError, match=r"layer_00000000 is of a file that the store .* not keep"):
        recall("stack(pre(layer_00000000()))", url)

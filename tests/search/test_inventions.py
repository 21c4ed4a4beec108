"""A model's file behind walls: what passes becomes a primitive, what does not is told why."""

import random
import re

import pytest

import palmette
from palmette import ops
from palmette.grammar.sample import sample_genome
from palmette.grammar.types import Effect
from palmette.ladder.scales import scale
from palmette.model import atlas
from palmette.model.stranger.node import expression
from palmette.model.stranger.source import StrangerError
from palmette.search import inventions
from palmette.search.inventions import adopt, extended, invent, language_of
from palmette.search.novelty import Screen
from palmette.store import Store
from palmette.tasks import VOCABULARY
from palmette.testing.example_records import example_config
from palmette.train.sandbox import Limits
from tests.search.layers import GOOD, layer

LAYER = """\
import torch
from torch import nn
def meanwhile(): pass
class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.map = nn.Linear(width, width)
    def forward(self, x):
        meanwhile()
        return self.map(x)
"""


def doing(line):
    return LAYER.replace("def meanwhile(): pass", f"def meanwhile(): {line}")


def faults_of(source):
    with pytest.raises(StrangerError) as told:
        invent(source, 3)
    return told.value.faults


def test_a_good_layer_passes_every_check():
    source = GOOD.format(name="gated")
    stranger = invent(source, 17)
    assert re.fullmatch(r"idea_17_[0-9a-f]{8}", stranger.name)
    assert (stranger.file, stranger.source, stranger.multiple) == ("idea_17.py", source, 1)
    verdicts = {result.gate: result.passed for result in stranger.gates}
    assert False not in verdicts.values()
    needed = {"batch", "determinism", "future_change", "future_gradient", "gradient_reach"}
    needed |= {"prefix", "stateless", "kit_shaped", "kit_causal", "kit_counted", "kit_exported"}
    assert {gate for gate in needed if verdicts[gate]} == needed
    told = {result.gate: result.detail for result in stranger.gates if result.passed is None}
    assert {gate for gate in told if gate.startswith("kit_")} == {
        "kit_documented", "kit_costed", "kit_streamed",
    }  # fmt: skip
    assert told["kit_streamed"] == "does not promise to be streamable"


def test_a_layer_that_looks_ahead_is_refused_by_each_gate_that_sees_it():
    told = faults_of(LAYER.replace("self.map(x)", "self.map(x - x.mean(1, keepdim=True))"))
    found = [fault.partition(":")[0] for fault in told]
    assert found == [
        "gate future_change failed", "gate future_gradient failed", "gate prefix failed",
        "the contract's check 'causal' failed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (  # the rules for its text do not see it
            "import torch\nt = [torch]\n"
            + doing("vars_of(t[0].nn.functional)").replace(
                "def meanwhile", "def vars_of(f):\n    f.softmax = f.relu\ndef meanwhile"
            ),
            r"it replaces torch\.nn\.functional\.softmax; a layer may only compute",
        ),
        (
            LAYER.replace("self.map(x)", "self.map(x)[:, -1:]"),
            r"forward gives \[2, 1, 64\] for features \[b t d\] .*\(it gives the last position",
        ),
        (
            LAYER.replace("self.map(x)", "self.map(x) + torch.randn(1)"),
            r"gate determinism failed",
        ),
    ],
    ids=["replaces", "shape", "random"],
)
def test_what_else_is_wrong_is_told_in_words_to_act_on(source, fault):
    told = faults_of(source)
    assert any(re.search(fault, one) for one in told), told


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("Here is a layer for you.", r"idea_3\.py line 1 is not Python \(Here is a layer"),
        ("x = 1", r"idea_3\.py defines no torch\.nn\.Module class"),
        ("#" * 10_000_000, r"idea_3\.py has 10,000,000 bytes; a layer's file has at most 64,000"),
        (doing("__import__('socket')"), r"line 3 .* uses __import__; a layer may only compute"),
        (doing("open('/etc/hostname').read()"), r"line 3 .* uses open; a layer may only compute"),
        ("import os\n" + doing("os.fork()"), r"line 1 \(import os\) imports os; it may import"),
        (
            "import palmette.gates._check as gates\ngates.check = lambda *a: ()\n" + LAYER,
            r"line 2 \(gates\.check = .*\) replaces gates\.check; a layer changes nothing",
        ),
    ],
    ids=["prose", "no layer", "huge", "socket", "reads", "forks", "palmette"],
)
def test_what_needs_no_run_to_be_refused(source, fault, monkeypatch):
    if "defines no" not in fault:
        monkeypatch.setattr(inventions, "run", None)  # calling it would be an error
    told = faults_of(source)
    assert any(re.search(fault, one) for one in told), told


def test_one_that_never_ends_is_stopped(monkeypatch):
    monkeypatch.setattr(inventions, "LIMITS", Limits(wall_seconds=1.0))
    (told,) = faults_of("while True: pass\n" + LAYER)
    assert told == "idea_3.py: it had not finished after 1 s"


@pytest.fixture
def campaign(tmp_path):
    with Store(f"sqlite:///{tmp_path / 'palmette.db'}") as store:
        yield store.create_campaign(example_config())


@pytest.fixture
def adopted(campaign):
    stranger = layer("adopted", number=23)
    adopt(campaign, stranger)
    yield stranger
    ops.dismiss(stranger.name)


def test_an_adopted_layer_belongs_to_the_language_of_its_campaign(campaign, adopted):
    adopt(campaign, adopted)  # twice does no harm
    assert [own.name for own in campaign.strangers()] == [adopted.name]
    language = language_of(campaign)
    assert language.get(adopted.name) is palmette.language().get(adopted.name)
    other = layer("of another campaign")
    assert other.name not in language
    assert other.name in extended(language, [other])


def test_it_is_sampled_and_judged_like_any_other(campaign, adopted):
    language = language_of(campaign)
    rng = random.Random(0)
    drawn = [sample_genome(language, rng, required=frozenset({Effect.CAUSAL})) for _ in range(200)]
    times = sum(f"{adopted.name}(" in genome.text for genome in drawn)
    assert 5 < times < 100, "as often as another mixer of usual odds"
    ladder = scale("seedling")
    screen = Screen(ladder, VOCABULARY, 128, [atlas.load("deltanet")])
    genome = palmette.parse(expression(adopted))
    assert screen.reason_against(genome, []) is None
    assert screen.fit(genome).fits


def test_layers_without_a_common_width_do_not_fit(campaign, adopted):
    narrow = adopted.model_copy(update={"name": "idea_1_00000001", "only": (50,)})
    wide = adopted.model_copy(update={"name": "idea_2_00000002", "only": (64,)})
    for own in (narrow, wide):
        adopt(campaign, own)
    screen = Screen(scale("seedling"), VOCABULARY, 128, [atlas.load("deltanet")])
    try:
        genome = palmette.parse(f"stack(pre({narrow.name}()), pre({wide.name}()))")
        assert screen.reason_against(genome, []) == "does not fit"
    finally:
        for own in (narrow, wide):
            ops.dismiss(own.name)

import pytest

from palmette.errors import PalmetteError, UserError
from palmette.ladder.results import Ascent, wanted_specs
from palmette.ladder.scales import scale
from palmette.model import atlas
from palmette.search import compiling, manner
from palmette.search.compiling import Weighed, weigh
from palmette.search.manner import Ask, settled
from palmette.search.start import Plan, open_campaign, prepare
from palmette.store import Store
from palmette.testing.example_records import example_candidate
from palmette.train.compiling import CompileCost
from palmette.train.pack_choice import Choice

ROOT = atlas.load("deltanet")
CHEAP = CompileCost(1.0, 1.0, 40e-6, 20e-6)
DEAR = CompileCost(1e6, 1e6, 40e-6, 20e-6)


def ground(**changes):
    return prepare(Plan(scale="seedling", suite="parity", **changes))


def measured(monkeypatch, costs):
    """The rungs that were measured, as `costs` answers in turn."""
    asked, answers = [], iter(costs)

    def answer(job):
        asked.append(job.parameters)
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(compiling, "measure", answer)
    return asked


def test_short_ladders_are_not_measured(monkeypatch):
    asked = measured(monkeypatch, [])
    assert weigh(ROOT, scale("seedling"), 128, "torch").rungs == ()
    assert asked == []


def test_rungs_are_weighed_from_the_last_down_as_long_as_it_pays(monkeypatch):
    laptop = scale("laptop")
    sizes = [rung.parameters for rung in laptop.rungs]
    asked = measured(monkeypatch, [CHEAP, CHEAP, CHEAP])
    assert weigh(ROOT, laptop, 256, "torch").rungs == ("1", "2", "3")
    assert asked == sizes[::-1]
    asked = measured(monkeypatch, [CHEAP, DEAR])
    found = weigh(ROOT, laptop, 256, "torch")
    assert found.rungs == ("3",)
    assert found.reason == "it does not pay at rung 2"
    assert asked == sizes[:0:-1]
    assert list(found.costs) == ["3", "2"]


def test_what_cannot_be_measured_is_not_compiled(monkeypatch):
    measured(monkeypatch, [PalmetteError("no compiler")])
    found = weigh(ROOT, scale("laptop"), 256, "torch")
    assert (found.rungs, found.reason) == ((), "no compiler")


def test_trials_of_compiled_rungs_say_so():
    here = ground(kernel="torch")
    config = here.config.model_copy(update={"compiled": ("2",)})
    setting = here.setting_of(config)
    own = Ascent(example_candidate(str(ROOT), genome=ROOT.hash))
    assert {spec.kernel for spec in wanted_specs(own, 0, setting)} == {"torch"}
    assert setting.kernels == {"2": "torch-compiled"}


def test_a_campaign_weighs_once_and_keeps_it(tmp_path):
    def never(*arguments):
        raise AssertionError("asked again")

    weighed = Weighed(("1",), "it pays", {"1": CHEAP})
    apart = Choice(False, None, "apart")
    with Store(f"sqlite:///{tmp_path}/palmette.db") as store:
        ask = Ask(lambda *arguments: apart, lambda *arguments: weighed)
        campaign = open_campaign(store, ground(kernel="torch"), ask=ask)
        assert campaign.config.compiled == ("1",)
        kinds = [event.kind for event in campaign.events()]
        assert kinds == ["packing chosen", "compiling weighed"]
        assert campaign.events()[1].detail["costs"]["1"]["first_seconds"] == 1.0
        again = open_campaign(store, ground(), ask=Ask(never, never))
        assert again.config == campaign.config


def test_packed_trials_are_not_weighed():
    subject = (ROOT, scale("laptop"), 256)
    config = ground(kernel="native").config
    ask = Ask(lambda *arguments: Choice(True, 2.0, "packs"), None)
    found, _ = settled(config, None, manner.OPEN, subject, ask)
    assert (found.packed, found.compiled) == (True, ())


def test_both_at_once_are_refused():
    config = ground(kernel="native", packed=True, compiled=True).config
    with pytest.raises(UserError, match="packed trials are not compiled; take --pack or --compile"):
        settled(config, None, frozenset(), (ROOT, scale("laptop"), 256), Ask())


def test_an_unknown_kernel_is_told_with_those_that_there_are():
    config = ground(kernel="fortran").config
    with pytest.raises(UserError, match="no kernel 'fortran'; there are: torch, native"):
        settled(config, None, frozenset(), (ROOT, scale("laptop"), 256), Ask())


def test_a_campaign_of_native_trials_goes_on_only_where_they_can_be_built(monkeypatch):
    config = ground(kernel="native").config
    monkeypatch.setattr(manner, "unavailable", lambda: "there is no compiler")
    with pytest.raises(UserError, match="not to be had here: there is no compiler; or take"):
        settled(config, config, manner.OPEN, (ROOT, scale("laptop"), 256), Ask())

import pytest

import palmette
from palmette.errors import StorageError, UserError
from palmette.model import atlas
from palmette.testing.scripted import Scripted
from palmette.testing.scripted_designer import legal
from tests.ladder.made import result


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'palmette.db'}"


def make(url, **more):
    return palmette.create_campaign("mine", url, scale="seedling", suite="parity", **more)


def test_ask_and_tell_a_result_of_ones_own(url):
    with make(url) as campaign:
        seen = []
        for number in range(12):
            trial = campaign.ask()
            seen.append(trial.key)
            campaign.tell(trial, result(0.5 + number / 100))
        assert len(set(seen)) == 12
        assert campaign.status().trials["done"] == 12
        assert {row.role for row in campaign.best()} >= {"root", "baseline"}


def test_a_trial_that_nobody_asked_for_is_refused(url):
    with make(url) as campaign:
        stranger = campaign.ask().model_copy(update={"trial": 999})
        with pytest.raises(UserError, match="call ask\\(\\) first"):
            campaign.tell(stranger, result(0.5))


def test_a_campaign_is_continued_and_a_changed_one_refused(url):
    with make(url) as campaign:
        campaign.tell(campaign.ask(), result(0.5))
    with make(url) as campaign:
        assert campaign.status().trials["done"] == 1
    with pytest.raises(StorageError, match="seed"):
        make(url, seed=7)
    with pytest.raises(StorageError, match="mine"):
        make(url, load_if_exists=False)


def test_two_at_once_are_refused(url):
    with make(url) as campaign, make(url) as other:
        campaign.ask()
        with pytest.raises(StorageError, match="grown by"):
            other.ask()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"root": 5}, "root wants a genome, its text or a name of the atlas, got 5"),
        ({"proposers": "evolution"}, "wants the names of one proposer or more, got 'evolution'"),
        ({"proposers": ()}, "wants the names of one proposer or more"),
        (
            {"proposers": ("random", "random")},
            "name each proposer once; random is there more often",
        ),
        ({"seed": "a"}, "seed: Input should be a valid integer.*got 'a'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_arguments_are_told(url, arguments, said):
    with pytest.raises(UserError, match=said):
        make(url, **arguments)


def test_a_root_of_the_atlas_and_a_list_of_proposers(url):
    with make(url, root="llama", proposers=["random"]) as campaign:
        assert campaign.ask().spec.expression == atlas.load("llama").text


def test_no_worker_and_a_closed_campaign_are_told(url):
    with make(url) as campaign:
        for workers in (0, -1):
            with pytest.raises(UserError, match="one worker or more"):
                campaign.grow("1genomes", workers)
    with pytest.raises(UserError, match="was closed; open it again"):
        campaign.ask()


def test_a_data_frame_needs_pandas_and_says_so(url, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pandas", None)
    with make(url) as campaign, pytest.raises(UserError, match="pip install pandas"):
        campaign.trials_dataframe()


def test_designers_are_asked_through_an_endpoint_of_ones_own(url):
    endpoint = Scripted(legal)
    settings = {"endpoint": endpoint, "model_budget": "300k-tokens", "steps": 2}
    with make(url, proposers=("llm", "evolution"), **settings) as campaign:
        for number in range(24):
            trial = campaign.ask()
            campaign.tell(trial, result(0.5 + number / 100))
        assert campaign.status().genomes >= 2
    assert endpoint.requests
    assert not endpoint.closed
    with pytest.raises(StorageError, match="designer"):
        make(url, proposers=("llm", "evolution"), **{**settings, "steps": 3})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"models": ("a",)}, "no proposer asks a language model: evolution"),
        ({"model_budget": "2usd"}, "no proposer asks a language model"),
        ({"proposers": ("llm",), "steps": 0}, "steps wants 1 or more, got 0"),
        ({"proposers": ("llm",), "stpes": 1}, "stpes: Extra inputs are not permitted"),
        ({"proposers": ("llm",), "model_budget": "2usd"}, "--llm-price scripted=IN/OUT"),
        ({"mix": "luck"}, "mix: Input should be 'turns' or 'bandit', got 'luck'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_wrong_arguments_for_designers_are_told(url, arguments, said):
    if "proposers" in arguments:
        arguments = {**arguments, "endpoint": Scripted(legal)}
    with pytest.raises(UserError, match=said):
        make(url, **arguments)

"""The contract of a store, as tests that any database passes. Needs pytest.

class TestMyDatabase(StoreKit):
    @pytest.fixture
    def url(self) -> str:
        return "…"  # of an empty database, a new one for each test
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from palmette.errors import PalmetteError, StorageError, UnknownNameError
from palmette.records import Event
from palmette.store import Campaign, Store
from palmette.testing.example_records import (
    EXPRESSION,
    example_candidate,
    example_config,
    example_hash,
    example_result,
    example_root,
    example_thought,
    example_trial_spec,
)


class StoreKit:
    """Derive from it, name the class `Test…` and give a fixture `url`."""

    @pytest.fixture
    def store(self, url: str) -> Iterator[Store]:
        """An empty store."""
        with Store(url) as opened:
            yield opened

    @pytest.fixture
    def campaign(self, store: Store) -> Campaign:
        """A campaign without candidates."""
        return store.create_campaign(example_config())

    @pytest.fixture
    def trial(self, campaign: Campaign) -> int:
        """The number of a queued trial."""
        campaign.add_candidate(example_candidate())
        return campaign.queue(example_trial_spec()).trial

    # --- campaigns ---

    def test_campaigns_are_listed_in_the_order_of_their_making(self, store: Store) -> None:
        """Not by name."""
        for name in ("zebra", "ant"):
            store.create_campaign(example_config(name=name))
        assert store.campaigns() == ["zebra", "ant"]

    def test_a_campaign_has_the_configuration_it_was_made_with(self, store: Store) -> None:
        """Every field, also after a second opening."""
        config = example_config()
        assert store.create_campaign(config).config == config
        assert store.campaign("first").config == config

    def test_an_unknown_campaign_is_named_with_its_neighbours(self, store: Store) -> None:
        """And with the right kind of error."""
        store.create_campaign(example_config())
        with pytest.raises(UnknownNameError, match=r"no campaign is called 'frist'.*'first'"):
            store.campaign("frist")

    def test_the_latest_campaign_is_the_one_grown_last(self, store: Store) -> None:
        """Not the one made last."""
        with pytest.raises(StorageError, match="holds no campaign yet; run `palmette grow` first"):
            store.latest()
        for name in ("a", "b"):
            store.create_campaign(example_config(name=name))
        assert store.latest().config.name == "b"
        with store.campaign("a").lease("test"):
            assert store.latest().config.name == "a"
        store.create_campaign(example_config(name="c", kind="compare"))
        assert store.latest().config.name == "a"

    def test_changed_settings_are_all_named_and_refused(self, store: Store) -> None:
        """With the old value, the new one and what to do."""
        store.create_campaign(example_config())
        changed = example_config(seed=5, root="lm(pre(glu()))", proposers=("random",))
        with pytest.raises(StorageError) as refused:
            store.create_campaign(changed)
        lines = str(refused.value).splitlines()
        assert lines[0] == "campaign 'first' was begun with other settings:"
        assert lines[1].startswith('  root: it has "lm(stack(')
        assert lines[2] == "  seed: it has 0, this command says 5"
        assert lines[3] == "  proposers: it has evolution, random, this command says random"
        assert "--campaign NAME" in lines[4]
        assert store.campaign("first").config == example_config()

    def test_an_existing_campaign_is_refused_on_request(self, store: Store) -> None:
        """`load_if_exists=False`."""
        store.create_campaign(example_config(), load_if_exists=False)
        with pytest.raises(StorageError, match="there is a campaign 'first' already"):
            store.create_campaign(example_config(), load_if_exists=False)

    @pytest.mark.parametrize("name", ["", "../up", ".hidden", "a/b", "x" * 101])
    def test_a_name_must_do_for_a_directory(self, store: Store, name: str) -> None:
        """Weights are kept in a directory of that name."""
        with pytest.raises(StorageError, match="a campaign's name wants"):
            store.create_campaign(example_config(name=name))

    def test_progress_is_kept(self, campaign: Campaign, store: Store) -> None:
        """State, elapsed time and budget."""
        assert (campaign.state, campaign.elapsed_seconds, campaign.budget) == ("stopped", 0.0, "")
        campaign.set_state("running")
        campaign.set_elapsed(0.1 + 0.2)
        campaign.set_budget("60genomes")
        again = store.campaign("first")
        assert (again.state, again.elapsed_seconds, again.budget) == (
            "running",
            0.1 + 0.2,
            "60genomes",
        )

    # --- candidates ---

    def test_candidates_come_back_as_they_went_in(self, campaign: Campaign) -> None:
        """In order, with and without parents, two of them in theirs, replicas apart."""
        parents = (example_hash("z"), example_hash("a"))
        given = [
            example_root("lm(pre(mlp()))"),
            example_candidate("lm(pre(glu()))", parents=parents, edit="graft"),
            example_candidate("lm(pre(conv()))", parents=(), edit=None, proposer="random"),
            example_candidate(
                "lm(pre(mlp()))", replica=2, role="placebo", name="Quince", parents=()
            ),
        ]
        for candidate in given:
            campaign.add_candidate(candidate)
        assert campaign.candidates() == given

    def test_a_candidate_is_added_once(self, campaign: Campaign) -> None:
        """Again is nothing new; with another origin it is a mistake."""
        campaign.add_candidate(example_candidate())
        campaign.add_candidate(example_candidate(parameters=1))
        assert campaign.candidates() == [example_candidate()]
        with pytest.raises(PalmetteError, match="another origin: edit 'tune' -> 'prune'"):
            campaign.add_candidate(example_candidate(edit="prune"))

    def test_a_candidate_may_be_told_of_in_any_words(self, campaign: Campaign) -> None:
        """What no database takes is kept as its escape."""
        campaign.add_candidate(example_candidate(motivation="\0 \udcff ∞", edit_text="a\0"))
        (kept,) = campaign.candidates()
        assert (kept.motivation, kept.edit_text) == ("\\0 \\udcff ∞", "a\\0")

    # --- what designers thought ---

    def test_thoughts_come_back_as_they_went_in(self, campaign: Campaign) -> None:
        """In the order in which they ended, whatever became of their proposals."""
        given = [
            example_thought(proposal=9, outcome="invalid", faults=("no knob is called x", "cut")),
            example_thought(attempt=2),
            example_thought(role="check", model=None, prompt=None, usd=None, origin=None),
            example_thought(proposal=9, outcome="failed", answer=None, content={}),
        ]
        for thought in given:
            campaign.add_thought(thought, None)
        assert campaign.thoughts() == given

    def test_what_models_cost_is_summed_up(self, campaign: Campaign) -> None:
        """Checks ask nobody; where no price is known there is none."""
        checked = example_thought(role="check", model=None, tokens_in=5, usd=5.0)
        campaign.add_thought(checked, None)
        assert campaign.spent_on_models() is None
        campaign.add_thought(example_thought(usd=None, tokens_in=10, tokens_out=1), None)
        assert campaign.spent_on_models() == (11, None)
        for usd in (0.5, 0.25):
            campaign.add_thought(example_thought(usd=usd), None)
        assert campaign.spent_on_models() == (11 + 2 * 3_000_000_061, 0.75)

    def test_a_prompt_is_kept_once(self, campaign: Campaign, store: Store) -> None:
        """Under the hash that its thoughts name; another campaign has its own."""
        digest = example_thought().prompt
        assert digest is not None
        campaign.add_thought(example_thought(), None)
        assert campaign.prompt(digest) is None
        for attempt in (1, 2):
            campaign.add_thought(example_thought(attempt=attempt), "[user]\nbetter, please")
        assert campaign.prompt(digest) == "[user]\nbetter, please"
        assert store.create_campaign(example_config(name="second")).prompt(digest) is None

    def test_a_model_may_say_anything(self, campaign: Campaign) -> None:
        """What no database takes is kept as its escape, wherever it stands."""
        said = "\0 \udcff ∞ \x1b[31m '); DROP TABLE thought; --"
        kept = said.replace("\0", "\\0").replace("\udcff", "\\udcff")
        thought = example_thought().model_copy(
            update={
                "model": said,
                "answer": said,
                "faults": (said,),
                "content": {said: [{"a": (said, None, 1.5, True)}]},
            }
        )
        campaign.add_thought(thought, said)
        (back,) = campaign.thoughts()
        assert (back.model, back.answer, back.faults) == (kept, kept, (kept,))
        assert back.content == {kept: [{"a": [kept, None, 1.5, True]}]}
        assert campaign.prompt(thought.prompt or "") == kept

    # --- trials ---

    def test_a_trial_is_queued_once(self, campaign: Campaign) -> None:
        """Its key decides; numbers count up in order."""
        campaign.add_candidate(example_candidate())
        specs = [example_trial_spec(seed=seed) for seed in (2**63, 1, 2**63)]
        assert [campaign.queue(spec).trial for spec in specs] == [1, 2, 1]
        assert [trial.spec.seed for trial in campaign.trials()] == [2**63, 1]
        assert {trial.state for trial in campaign.trials()} == {"queued"}

    def test_a_trial_wants_a_candidate(self, campaign: Campaign) -> None:
        """Of its genome and its replica."""
        campaign.add_candidate(example_candidate())
        with pytest.raises(PalmetteError, match="add the candidate first"):
            campaign.queue(example_trial_spec(replica=1))
        assert campaign.trials() == []

    def test_a_proposal_is_stored_whole_or_not_at_all(self, campaign: Campaign) -> None:
        """Here its second trial is of a genome that is no candidate."""
        specs = [example_trial_spec(), example_trial_spec("lm(pre(mlp()))")]
        event = Event(seconds=1.5, kind="proposed", detail={"twin": None})
        with pytest.raises(PalmetteError):
            campaign.propose(example_candidate(), specs, [event])
        assert (campaign.candidates(), campaign.trials(), campaign.events()) == ([], [], [])
        stored = campaign.propose(example_candidate(), specs[:1], [event])
        assert [trial.spec for trial in stored] == specs[:1]
        assert campaign.events() == [event]

    def test_a_finished_trial_keeps_its_result(self, campaign: Campaign, trial: int) -> None:
        """To the last bit."""
        campaign.start(trial, 1.0)
        assert campaign.trial(trial).state == "running"
        campaign.finish(trial, example_result(bits=1 / 3), 3.5)
        done = campaign.trials()[0]
        assert (done.state, done.attempts) == ("done", 1)
        assert done.result == example_result(bits=1 / 3)
        assert (done.started_seconds, done.ended_seconds) == (1.0, 3.5)
        assert campaign.queue(example_trial_spec()).state == "done"

    def test_a_failed_trial_keeps_its_reason(self, campaign: Campaign, trial: int) -> None:
        """Whatever a worker's last words were."""
        campaign.start(trial, 1.0)
        campaign.fail(trial, "diverged: \0 \udcff ∞", 2.0)
        failed = campaign.trial(trial)
        assert (failed.state, failed.reason) == ("failed", "diverged: \\0 \\udcff ∞")
        assert [attempt.outcome for attempt in campaign.attempts(trial)] == ["failed"]

    def test_a_lost_trial_is_tried_again(self, campaign: Campaign, trial: int) -> None:
        """Until the scheduler gives up; every attempt is a row."""
        for again in (True, False):
            campaign.start(trial, 1.0)
            campaign.lose(trial, "out of memory", 2.0, retry=again)
        lost = campaign.trial(trial)
        assert (lost.state, lost.reason, lost.attempts) == ("failed", "out of memory", 2)
        assert [(row.attempt, row.outcome) for row in campaign.attempts(trial)] == [
            (1, "lost"),
            (2, "lost"),
        ]

    def test_after_a_crash_running_trials_are_queued(self, campaign: Campaign, trial: int) -> None:
        """And no others; their attempts are closed."""
        other = campaign.queue(example_trial_spec(seed=1)).trial
        for number in (trial, other):
            campaign.start(number, 1.0)
        campaign.finish(other, example_result(), 2.0)
        campaign.set_elapsed(9.0)
        assert campaign.requeue_running() == [trial]
        assert [stored.state for stored in campaign.trials()] == ["queued", "done"]
        (attempt,) = campaign.attempts(trial)
        assert (attempt.outcome, attempt.reason) == ("lost", "lost: grow ended")
        assert (attempt.started_seconds, attempt.ended_seconds) == (1.0, 9.0)
        assert campaign.requeue_running() == []

    def test_a_trial_takes_no_wrong_step(self, campaign: Campaign, trial: int) -> None:
        """None is finished twice or without a start."""
        with pytest.raises(PalmetteError, match="trial 1 is queued; only a running one becomes"):
            campaign.finish(trial, example_result(), 1.0)
        campaign.start(trial, 1.0)
        with pytest.raises(PalmetteError, match="trial 1 is running; only a queued one becomes"):
            campaign.start(trial, 1.0)
        with pytest.raises(PalmetteError, match="'first' has no trial 77"):
            campaign.start(77, 1.0)
        assert campaign.trial(trial).attempts == 1

    def test_campaigns_do_not_mix(self, store: Store) -> None:
        """The same genome and the same key in two of them."""
        first = store.create_campaign(example_config())
        second = store.create_campaign(example_config(name="second"))
        for campaign in (first, second):
            campaign.propose(example_candidate(), [example_trial_spec()], [])
        first.start(1, 0.0)
        first.add_event(Event(seconds=0.0, kind="start"))
        first.add_thought(example_thought(), None)
        assert second.trial(1).state == "queued"
        assert second.events() == []
        assert second.thoughts() == []
        assert second.requeue_running() == []
        assert [candidate.expression for candidate in second.candidates()] == [EXPRESSION]

    def test_events_keep_their_order(self, campaign: Campaign) -> None:
        """Not that of their times."""
        events = [Event(seconds=s, kind=k, detail={"s": s}) for s, k in ((2.0, "b"), (1.0, "a"))]
        for event in events:
            campaign.add_event(event)
        assert campaign.events() == events

    def test_an_event_may_tell_anything(self, campaign: Campaign) -> None:
        """A fault may quote a model's words."""
        campaign.add_event(Event(seconds=0.0, kind="declined", detail={"told": "\0\udcff"}))
        assert campaign.events()[0].detail == {"told": "\\0\\udcff"}

    # --- the lease and readers ---

    def test_a_live_lease_is_refused(self, campaign: Campaign, store: Store) -> None:
        """With the process that has it; free again afterwards."""
        with campaign.lease("palmette grow") as lease:
            lease.beat()
            assert campaign.holder is not None
            message = f"grown by process {campaign.holder.pid} on {campaign.holder.host}"
            with (
                pytest.raises(StorageError, match=message),
                store.campaign("first").lease("palmette grow"),
            ):
                pytest.fail("two processes had the lease")
            campaign.set_elapsed(1.0)
        assert campaign.holder is None
        with store.campaign("first").lease("palmette grow"):
            pass

    def test_a_reader_sees_what_was_written(self, url: str, campaign: Campaign, trial: int) -> None:
        """While the writer is at it."""
        with Store(url, create=False) as reader:
            seen = reader.latest()
            assert [stored.state for stored in seen.trials()] == ["queued"]
            campaign.start(trial, 1.0)
            assert [stored.state for stored in seen.trials()] == ["running"]

    def test_everything_is_there_after_closing(self, url: str) -> None:
        """A store is opened again by its URL."""
        with Store(url) as store:
            campaign = store.create_campaign(example_config())
            campaign.propose(example_candidate(), [example_trial_spec()], [])
        with Store(url) as store:
            again = store.create_campaign(example_config())
            assert again.candidates() == [example_candidate()]
            assert again.trials()[0].spec == example_trial_spec()

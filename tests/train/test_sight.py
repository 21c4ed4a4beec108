import pytest
from tiny import tiny_spec

import palmette
from palmette.errors import UserError
from palmette.search.start import Plan, prepare
from palmette.tasks import TASKS, suite
from palmette.train.loop import run_trial
from palmette.train.sight import require_honest

BOTH_WAYS = "seq2seq(stack(pre(attn(mask='none')), pre(glu())))"


@pytest.mark.parametrize("name", [name for name in TASKS.names() if name != "sudoku"])
def test_who_looks_ahead_is_given_no_task_whose_inputs_hold_the_answers(name):
    with pytest.raises(UserError, match=f"the inputs of {name} hold the answers"):
        require_honest(palmette.parse(BOTH_WAYS), suite(name))
    require_honest(palmette.parse("pre(attn())"), suite(name))


def test_a_model_of_its_own_that_happens_to_be_causal_still_counts_as_looking_ahead():
    with pytest.raises(UserError, match=r"^classify\(\.\.\.\) sees the whole sequence"):
        require_honest(palmette.parse("classify(pre(lin()))"), suite("recall"))


def test_a_trial_is_refused(sentences):
    with pytest.raises(UserError, match="the inputs of text, recall, copying, parity hold"):
        run_trial(tiny_spec(BOTH_WAYS), sentences)


def test_a_campaign_is_refused_before_anything_is_stored():
    with pytest.raises(UserError, match="choose a suite without them, such as sudoku"):
        prepare(Plan(root=palmette.parse(BOTH_WAYS), suite="recall"))
    ground = prepare(Plan(root=palmette.parse(BOTH_WAYS), suite="sudoku"))
    assert str(ground.root) == BOTH_WAYS

import pytest

from palmette.errors import UserError
from palmette.search.budget import Budget


@pytest.mark.parametrize(
    ("text", "genomes", "seconds", "trials"),
    [
        ("10m", None, 600, None),
        ("90s", None, 90, None),
        ("60genomes", 60, None, None),
        ("1 genome", 1, None, None),
        ("2h", None, 7200, None),
        ("200trials", None, None, 200),
        ("1 trial", None, None, 1),
    ],
)
def test_budgets(text, genomes, seconds, trials):
    budget = Budget.parse(text)
    assert (budget.genomes, budget.seconds, budget.trials) == (genomes, seconds, trials)


@pytest.mark.parametrize(
    "text", ["", "ten", "10", "-5m", "0genomes", "1.5genomes", "0.5trials", "1e9m", "10 minutes"]
)
def test_what_is_no_budget_says_what_one_is(text):
    with pytest.raises(UserError, match="a budget is a time such as 10m"):
        Budget.parse(text)

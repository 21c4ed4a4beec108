import random
import threading
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palmette.designer.endpoint import CallError, Message, Request, Shape
from palmette.designer.money import Ledger, ModelBudget, check_priced, most
from palmette.designer.prices import Price, parse_price, prices, table
from palmette.errors import UserError


def asked(characters=300, most_tokens=100):
    return Request((Message("user", "x" * characters),), most_tokens=most_tokens)


@pytest.mark.parametrize(
    ("text", "usd", "tokens"),
    [
        ("2usd", 2.0, None),
        (" 0.5 usd ", 0.5, None),
        ("200k-tokens", None, 200_000),
        ("1.5M-tokens", None, 1_500_000),
        ("750tokens", None, 750),
    ],
)
def test_budgets_are_read(text, usd, tokens):
    budget = ModelBudget.parse(text)
    assert (budget.usd, budget.tokens, budget.text) == (usd, tokens, text.strip())


@pytest.mark.parametrize(
    "text", ["", "2", "usd", "0usd", "-1usd", "2eur", "0.1tokens", "1e3tokens", "9" * 400 + "usd"]
)
def test_what_is_no_budget(text):
    with pytest.raises(UserError, match=r"is neither\. Give one with --llm-budget"):
        ModelBudget.parse(text)


def test_a_call_is_made_only_if_its_longest_answer_fits():
    ledger = Ledger(ModelBudget.parse("400tokens"))
    with ledger.reserve("m", asked()) as paid:  # 150 + 64 + 100 of 400
        paid.settle(90, 30)
    assert ledger.spent_tokens == 120
    with pytest.raises(CallError, match="400tokens is spent") as caught:
        ledger.reserve("m", asked()).__enter__()
    assert caught.value.lasting
    with ledger.reserve("m", asked(most_tokens=60)) as paid:
        paid.settle(90, 60)
    assert ledger.spent_tokens == 270
    assert not ledger.spent


def test_earlier_sessions_count():
    assert Ledger(ModelBudget.parse("400tokens"), spent_tokens=400).spent
    assert Ledger(ModelBudget.parse("2usd"), spent_usd=2.5).spent
    assert not Ledger(spent_tokens=10**9).spent


def test_money_is_counted_by_the_price_of_each_model():
    ledger = Ledger(ModelBudget.parse("1usd"), {"dear": Price(1000, 2000), "free": Price(0, 0)})
    with ledger.reserve("dear", asked()) as paid:
        paid.settle(200, 50)
    assert ledger.spent_usd == pytest.approx(0.3)
    for _ in range(50):
        with ledger.reserve("free", asked()) as paid:
            paid.settle(200, 50)
    assert ledger.spent_usd == pytest.approx(0.3)
    with pytest.raises(CallError, match="cannot hold other, whose price is not known"):
        ledger.reserve("other", asked()).__enter__()


def test_what_an_error_spent_is_counted():
    ledger = Ledger()
    with pytest.raises(CallError), ledger.reserve("m", asked()):
        raise CallError("refused", "no", 80, 7)
    assert ledger.spent_tokens == 87
    with pytest.raises(KeyboardInterrupt), ledger.reserve("m", asked()):
        raise KeyboardInterrupt
    assert ledger.spent_tokens == 87 + 150 + 64 + 100


def test_a_schema_may_count_as_prompt():
    shape = Shape("idea", {"type": "object", "description": "x" * 600})
    held = most(Request((Message("user", "hi"),), shape))
    assert held.tokens_in > 200 + 64


def test_a_call_waits_for_those_under_way():
    ledger = Ledger(ModelBudget.parse("600tokens"))
    inside, done = threading.Event(), []

    def second():
        inside.wait(10)
        with ledger.reserve("m", asked()) as paid:
            paid.settle(100, 100)
        done.append(ledger.spent_tokens)

    thread = threading.Thread(target=second)
    thread.start()
    with ledger.reserve("m", asked()) as paid:
        inside.set()
        thread.join(0.05)
        assert not done
        paid.settle(100, 10)
    thread.join(10)
    assert done == [310]


@settings(max_examples=25, deadline=None)
@given(st.integers(300, 4000), st.booleans(), st.integers(0, 10**6))
def test_the_cap_holds_whatever_the_interleaving(cap, in_usd, seed):
    price = Price(1e6, 1e6)  # a dollar a token
    budget = ModelBudget.parse(f"{cap}usd" if in_usd else f"{cap}tokens")
    ledger = Ledger(budget, {"m": price})
    seen = []

    def work(number):
        rng = random.Random(seed * 10 + number)
        with suppress(CallError):
            for _ in range(6):
                request = asked(rng.randrange(600), rng.randrange(1, 300))
                limit = most(request)
                with ledger.reserve("m", request) as paid:
                    seen.append(ledger.spent_tokens)
                    outcome = rng.random()
                    if outcome < 0.2:
                        with suppress(CallError):
                            raise CallError("timeout", "late", limit.tokens_in, limit.tokens_out)
                    elif outcome < 0.9:
                        paid.settle(
                            rng.randint(0, limit.tokens_in), rng.randint(0, limit.tokens_out)
                        )
                seen.append(ledger.spent_tokens)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert max([ledger.spent_tokens, *seen]) <= cap
    assert ledger.spent_usd <= cap + 1e-6


def test_the_table_of_prices_has_a_date_and_sane_figures():
    day, known = table()
    assert day.year >= 2025
    assert len(known) >= 15
    for name, price in known.items():
        assert 0 < price.tokens_in <= price.tokens_out or "embedding" in name, name
        assert price.tokens_in < 100, name


def test_what_the_user_says_goes_before_the_table():
    known = prices(["gpt-4o=3/12", "mine=0/0"])
    assert known["gpt-4o"] == Price(3, 12)
    assert known["mine"].usd(10**6, 10**6) == 0
    assert known["gpt-4o-mini"] == table()[1]["gpt-4o-mini"]


@pytest.mark.parametrize("text", ["", "m", "m=1", "=1/2", "m=1/x", "m=-1/2", "m=nan/1", "m=1/2/3"])
def test_what_is_no_price(text):
    with pytest.raises(UserError, match="a price is NAME=IN/OUT"):
        parse_price(text)


def test_a_budget_in_money_needs_prices():
    with pytest.raises(UserError, match=r"price for mine, .*--llm-price mine=IN/OUT .*0/0"):
        check_priced(ModelBudget.parse("2usd"), ["gpt-4o", "mine"], prices())
    check_priced(ModelBudget.parse("2usd"), ["mine"], prices(["mine=0/0"]))
    check_priced(ModelBudget.parse("2k-tokens"), ["mine"], prices())
    check_priced(None, ["mine"], prices())

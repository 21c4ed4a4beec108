from benchmarks.rediscovery import __main__ as rediscovery
from benchmarks.rediscovery import campaigns, times
from palmette.train.executor import Inline
from tests.search.test_scheduler import made_up


def test_nothing_that_people_prefer_is_in_the_campaign():
    own = campaigns.ground("seedling", "parity")
    assert own.scale.baselines == ()
    assert len(own.scale.rungs) == 1
    assert own.config.root == campaigns.ROOT
    assert {"lin", "scan", "conv", "attn", "glu"} <= {cls.name for cls in own.language.nodes}
    assert "dnc" not in own.language
    lin = own.language.get("lin")
    assert own.language.odds(lin) == own.language.odds(own.language.get("glu")) == 1


def grown(storage, own, genomes):
    campaigns.grow(storage, own, genomes, range(1), 1, trainer=lambda campaign: Inline(made_up))
    return list(campaigns.rows(storage, own.scale, range(1)))


def test_campaigns_grow_and_go_on_where_they_were(tmp_path):
    storage = f"sqlite:///{tmp_path}/it.db"
    own = campaigns.ground("seedling", "parity")
    before = grown(storage, own, 3)
    after = grown(storage, own, 5)
    assert sum(row["role"] == "found" for row in before) == 6
    assert sum(row["role"] == "found" for row in after) == 10
    assert all(row in after for row in before)
    assert {row["arm"] for row in after} == {"evolution", "random"}
    rest = [row for row in after if row["role"] != "found"]
    assert {row["parts"] for row in rest} == {()}
    assert all(row["expression"] == campaigns.ROOT for row in rest)
    (last,) = [row for row in after if row["arm"] == "random" and row["number"] == 5]
    assert last["seconds"] > 0
    assert times.markdown(times.measured(after)).count("\n") == 1 + 3 * 2 * 2


def test_a_report_of_nothing_says_the_next_step(tmp_path, capsys):
    assert rediscovery.main(["report", "--folder", str(tmp_path)]) == 2
    assert "rediscovery run" in capsys.readouterr().err

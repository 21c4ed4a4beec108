import json
import math
from dataclasses import replace

import plotly.graph_objects as go
import pytest

from palmette.records import Prediction
from palmette.report import figures, summaries
from palmette.report.figures.fan import fan, point
from tests.report.make_example import without_results

EVERY = {
    "tree": figures.tree,
    "progress": figures.progress,
    "leaderboard": figures.leaderboard,
    "predictions": figures.predictions,
    "curves": figures.curves,
}


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", [*EVERY, "rates"])
def test_plotly_takes_every_figure_in_both_themes(data, name, theme):
    made = figures.rates(data) if name == "rates" else [EVERY[name](data)]
    assert made
    for one in made:
        resolved = one.resolved(theme)
        go.Figure(resolved)  # raises on a property or a colour that Plotly does not know
        assert '"@' not in json.dumps(resolved)


@pytest.mark.parametrize("name", [name for name in EVERY if name != "tree"])
def test_a_figure_with_nothing_to_show_is_none(data, name):
    assert EVERY[name](without_results(data)) is None
    assert figures.rates(without_results(data)) == ()


def test_themes_name_the_same_colours():
    assert figures.LIGHT.keys() == figures.DARK.keys()


def marks(figure):
    return [
        (trace, number)
        for trace in figure.traces
        if trace["mode"] == "markers" and trace.get("customdata")
        for number in range(len(trace["x"]))
    ]


def test_every_candidate_is_on_the_tree_once(data):
    drawn = [trace["customdata"][number] for trace, number in marks(figures.tree(data))]
    assert sorted(drawn) == sorted(row.genome for row in data.tree)


def test_the_tree_is_drawn_before_anything_has_a_score(data):
    held = marks(figures.tree(without_results(data)))
    assert {trace["name"].partition(", ")[2] for trace, _ in held} == {"no score yet"}
    assert figures.tree(replace(data, tree=[])) is None


def test_failed_candidates_are_crosses(data):
    crosses = [
        trace["customdata"][number]
        for trace, number in marks(figures.tree(data))
        if trace["marker"]["symbol"] == "x-thin"
    ]
    assert crosses
    assert {(genome, 0) for genome in crosses} == summaries.failed(data.trials)


def test_hover_shows_edit_motivation_and_promise_against_outcome(data):
    outcome = next(held for held in summaries.outcomes(data.tree) if held.row.edit == "insert")
    (text,) = [
        trace["text"][number]
        for trace, number in marks(figures.tree(data))
        if trace["customdata"][number] == outcome.row.genome
    ]
    assert outcome.row.genome[:8] in text
    assert "<b>insert</b>" in text
    assert "Deeper patterns have done better" in text
    promised = outcome.prediction
    assert f"predicted {promised.change:+.4f} [{promised.low:+.4f}, {promised.high:+.4f}]" in text
    assert f"happened {outcome.change:+.4f}" in text
    assert "parameters" in text


def test_labels_let_no_markup_in(data):
    evil = "<a href='https://example.org'>x</a>"
    hostile = replace(
        data,
        best=[row.model_copy(update={"name": evil}) for row in data.best],
        tree=[
            row.model_copy(update={"name": evil, "motivation": evil, "edit": row.edit and evil})
            for row in data.tree
        ],
    )
    for make in EVERY.values():
        made = make(hostile)
        assert "<a " not in json.dumps([made.traces, made.layout])


def test_the_leaderboard_holds_one_rung(data):
    low = data.best[-1].model_copy(update={"rung": "1", "genome": "f" * 64, "name": "low one"})
    made = figures.leaderboard(replace(data, best=[*data.best, low]))
    assert "low one" not in made.layout["yaxis"]["ticktext"]
    assert len(made.layout["yaxis"]["ticktext"]) == len(data.best)


def test_a_row_without_interval_has_no_whisker(data):
    bare = [row.model_copy(update={"low": None, "high": None}) for row in data.best]
    for trace in figures.leaderboard(replace(data, best=bare)).traces:
        assert set(trace["error_x"]["array"]) == {0}
        assert all("no interval" in text for text in trace["text"])


def test_a_missed_prediction_is_hollow(data):
    sure = Prediction(change=0.0, low=-9.0, high=9.0, observations=3)
    missed = Prediction(change=8.0, low=7.0, high=9.0, observations=3)
    for prediction, hollow in ((sure, False), (missed, True)):
        tree = [
            row.model_copy(update={"prediction": prediction if row.edit else None})
            for row in data.tree
        ]
        made = figures.predictions(replace(data, tree=tree))
        symbols = [s for t in made.traces if t["mode"] == "markers" for s in t["marker"]["symbol"]]
        assert symbols
        assert all(symbol.endswith("-open") is hollow for symbol in symbols)


def test_a_rung_with_one_rate_has_no_sweep(data):
    assert [figure.name for figure in figures.rates(data)] == ["rates-1", "rates-2"]


def test_branches_of_the_fan_keep_their_order_and_do_not_overlap():
    parents = {"r": None, "a": "r", "b": "r", "a1": "a", "a2": "a", "b1": "b", "lost": "gone"}
    places = fan(parents, "r")
    assert places["r"][0] == 0
    angles = [places[node][1] for node in ("a1", "a2", "b1", "lost")]
    assert angles == sorted(angles, reverse=True)
    assert places["a"][1] == pytest.approx((places["a1"][1] + places["a2"][1]) / 2)
    assert places["lost"][0] == places["a"][0] < places["a1"][0] == 1
    assert all(point(*place)[1] >= 0 for place in places.values())


def test_a_hundred_and_fifty_nodes_keep_apart():
    parents = {0: None} | {n: (n - 1) // 2 for n in range(1, 150)}
    points = [point(*place) for place in fan(parents, 0).values()]
    gaps = [math.dist(a, b) for i, a in enumerate(points) for b in points[:i]]
    assert min(gaps) > 0.015  # of the radius: some 8 pixels on the page


def test_a_circle_of_parents_still_gets_places():
    assert set(fan({"r": None, "x": "y", "y": "x"}, "r")) == {"r", "x", "y"}

"""The page of an exam: what it says of its record, what it leaves open, and that it is quiet."""

import json
import re

import pytest

from palmette.records import Draw, Rate
from palmette.report import examined
from palmette.report.exam import render_exam, write_exam
from palmette.report.figures.contrasts import contrasts
from palmette.report.figures.nulls import nulls
from tests.report.make_exam import made_up_exam
from tests.report.test_page import outline, words


@pytest.fixture(scope="module")
def exam():
    return made_up_exam()


@pytest.fixture(scope="module")
def page(exam):
    return render_exam(exam)


def figures(page: str) -> dict:
    return json.loads(re.search(r'id="figures">(.*?)</script>', page, re.DOTALL)[1])


def test_it_opens_with_the_verdicts(exam, page):
    text = words(page)
    order = [
        "Verified: 3fa2c1d0",
        "smallest effect",
        examined.parted(exam.verdicts[0].sentence)[0],
        "Against every",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    for verdict in exam.verdicts:
        assert all(part in text for part in examined.parted(verdict.sentence))
    assert text.count("verified · structural") == 2
    cards = text[: text.index("Against every baseline")]
    assert cards.count("not verified") == 1


def test_it_is_one_well_formed_file_under_the_same_policy(page):
    parsed = outline(page)
    for tag, attributes in parsed.elements:
        assert "src" not in attributes
        if "href" in attributes:
            assert attributes["href"].startswith(("#", "data:")), tag
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"][1:] for tag, a in parsed.elements if tag == "a" and "href" in a]
    assert set(links) <= set(ids)


def test_every_figure_has_its_place_and_every_contrast_its_whisker(exam, page):
    held = figures(page)
    assert set(held) == {
        "contrasts-1", "contrasts-2", "contrasts-3", "sealed", "held-out", "carry", "nulls",
        "canaries",
    }  # fmt: skip
    ids = {attributes.get("id") for _, attributes in outline(page).elements}
    assert set(held) <= ids
    for number, verdict in enumerate(exam.verdicts, start=1):
        traces = held[f"contrasts-{number}"]["data"]
        assert [trace["name"] for trace in traces] == [
            "default",
            "trained to equal FLOPs",
            "tuned",
        ]
        drawn = sorted(x for trace in traces for x in trace["x"])
        assert drawn == sorted(one.difference.value for one in verdict.contrasts)


def test_zero_and_the_margin_are_always_in_sight(exam, page):
    held = figures(page)
    for name in ("contrasts-1", "contrasts-2", "contrasts-3"):
        low, high = held[name]["layout"]["xaxis"]["range"]
        assert low < 0 < high
    assert held["held-out"]["layout"]["xaxis"]["range"][1] > exam.plan.text_margin_bits


def test_resampled_exams_are_all_counted(exam):
    bars, dots = nulls(exam).traces
    assert sum(bars["y"]) == exam.nulls.exams
    assert len(dots["x"]) == len(exam.verdicts)


def test_what_would_have_been_found_is_told(page):
    text = words(page)
    assert "Exams with something to find" in text
    assert "0.05 81 % 79 to 83 %" in text


def test_a_p_of_zero_can_be_drawn(exam):
    first = exam.verdicts[0].model_copy(update={"p": 0.0})
    sure = exam.model_copy(update={"verdicts": (first,)})
    _, dots = nulls(sure).traces
    assert dots["x"] == [10.0]
    assert nulls(sure).layout["xaxis"]["range"][1] >= 10


def test_placebos_canary_price_and_ledger_are_told(exam, page):
    text = words(page)
    assert "0 of 7 placebos were verified; the true rate may be up to 34.8 %" in text
    assert f"All {len(exam.canary)} saved models, loaded and evaluated again" in text
    assert "0.0231" in text
    assert "2 h 44 min" in text
    assert "told spent trials 486 402" in text
    assert text.count("09ab33f1") == 4


def test_the_draw_is_checked_again(exam, page):
    text = words(page)
    assert "The secret below has that hash, and the suite is the one that it draws." in text
    assert exam.draw.secret in text
    other = exam.draw.model_copy(update={"secret": "00" * 32})
    told = words(render_exam(exam.model_copy(update={"draw": other})))
    assert "does NOT have that hash, but the suite is NOT the one" in told
    closed = Draw(number=1, commitment=exam.draw.commitment, committed_at="2026-11-20")
    assert "not opened yet" in words(render_exam(exam.model_copy(update={"draw": closed})))


def test_nothing_verified_says_what_came_nearest():
    exam = made_up_exam(lifts=(0.0, -0.02))
    text = words(render_exam(exam))
    assert "Nothing was verified" in text
    nearest = examined.came_nearest(exam)
    asked = nearest.hypothesis
    told = f"What came nearest: {asked.candidate} in the {asked.league} league, for its score"
    assert f"{told}, with p {nearest.p:.2g} where alpha is {asked.alpha:.2g}" in text


def test_of_hopeless_candidates_the_one_that_lacks_least_came_nearest():
    exam = made_up_exam(lifts=(0.0, -0.02))
    hopeless = tuple(one.model_copy(update={"p": 1.0}) for one in exam.verdicts)
    nearest = examined.came_nearest(exam.model_copy(update={"verdicts": hopeless}))
    least = [examined.shortfall(one).difference.value for one in hopeless]
    assert examined.shortfall(nearest).difference.value == max(least)


def test_a_failed_canary_stands_above_every_verdict():
    exam = made_up_exam(broken=2)
    assert examined.headline(exam) == "The canary failed"
    text = words(render_exam(exam))
    assert "no verdict of this exam can be relied on" in text
    assert f"2 of {len(exam.canary)} saved models failed" in text
    assert text.count("there is no file of its weights") == 3


def test_an_exam_that_is_not_over_renders():
    exam = made_up_exam(state="running")
    page = render_exam(exam)
    text = words(page)
    assert "The exam is not over" in text
    assert "No placebo has been judged yet." in text
    assert figures(page) == {}


def test_what_has_no_interval_is_said_and_not_drawn(exam):
    bare = exam.verdicts[0].model_copy(update={"contrasts": (), "text": None, "carry": ()})
    lone = exam.model_copy(update={"verdicts": (bare,), "nulls": None})
    assert contrasts(lone) == (None,)
    text = words(render_exam(lone))
    assert "No difference has an interval" in text
    assert "No exam has been resampled yet." in text


def test_efficiency_has_its_margin_drawn(exam):
    asked = exam.verdicts[0].hypothesis.model_copy(update={"claim": "efficiency"})
    lean = exam.verdicts[0].model_copy(update={"hypothesis": asked})
    (made,) = contrasts(exam.model_copy(update={"verdicts": (lean,)}))
    assert made.layout["shapes"][0]["x0"] == -exam.plan.score_margin
    told = examined.lead(exam.model_copy(update={"verdicts": (lean,)}))
    assert told.startswith("3fa2c1d0 is no worse than any of the open league")


def test_a_single_placebo_is_told_in_the_singular():
    told = examined.placebo_sentence(Rate(happened=0, cases=1, bound=0.95))
    assert told.startswith("0 of 1 placebo was verified")
    assert examined.placebo_sentence(None) == "No placebo has been judged yet."


def test_hostile_text_stays_text(exam):
    evil = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'
    entries = tuple(
        entry.model_copy(update={"expression": evil, "name": evil}) for entry in exam.plan.entries
    )
    plan = exam.plan.model_copy(update={"entries": entries, "corpus": evil, "campaign": evil})
    verdicts = tuple(one.model_copy(update={"sentence": evil}) for one in exam.verdicts)
    hostile = exam.model_copy(update={"plan": plan, "verdicts": verdicts, "campaign": evil})
    tags = [tag for tag, _ in outline(render_exam(hostile)).elements]
    assert tags.count("script") == 4
    assert "img" not in tags


def test_it_is_written(exam, page, tmp_path):
    path = write_exam(exam, tmp_path / "new" / "exam.html")
    assert path.read_text() == page

"""The page of a study: what it shows, what it leaves open, and that it is one quiet file."""

import json
import re

import pytest

from palmette.report import render_study, study_columns, write_study
from palmette.report.figures.courses import courses
from tests.report.make_study import made_up_study
from tests.report.test_page import outline, words


@pytest.fixture(scope="module")
def study():
    return made_up_study(seeds=2, each=6)


@pytest.fixture(scope="module")
def page(study):
    return render_study(study)


def figures(page: str) -> dict:
    return json.loads(re.search(r'id="figures">(.*?)</script>', page, re.DOTALL)[1])


def test_it_opens_with_what_can_be_concluded(study, page):
    text = words(page)
    assert text.index("Study try") < text.index("genomes compared") < text.index("Gain per trial")
    assert "of 6 wanted of every arm and seed" in text
    assert "without knowledge" in text


def test_it_is_one_well_formed_file_under_the_same_policy(page):
    parsed = outline(page)
    for tag, attributes in parsed.elements:
        assert "src" not in attributes
        if "href" in attributes:
            assert attributes["href"].startswith(("#", "data:")), tag
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert "default-src 'none'" in page


def test_every_arm_has_its_interval_in_every_forest(study, page):
    rows = [a.get("class", "") for _, a in outline(page).elements if "class" in a]
    drawn = [name for name in rows if name.startswith("forest-row") and "axis" not in name]
    thinking = sum(arm.knowledge is not None for arm in study.arms)
    assert len(drawn) == 2 * len(study.arms) - 1 + 2 * thinking
    for column in study_columns(study):
        if column.name in ("gain", "against", "per_1000_tokens", "per_usd", "valid", "hits"):
            assert all(cell in page for cell in column.cells)


def test_best_so_far_is_drawn_for_each_proposer_beside_luck(study, page):
    held = figures(page)
    assert list(held) == ["courses-1", "courses-2", "courses-3"]
    names = [trace.get("name") for trace in held["courses-1"]["data"]]
    assert names[1] == "best of n noise draws"
    assert names[3:] == [
        "evolution", "knowledge and feedback", "no knowledge", "no feedback", "neither",
    ]  # fmt: skip
    assert [t["name"] for t in held["courses-3"]["data"][3:]] == ["evolution", "random"]
    ranges = {tuple(one["layout"]["yaxis"]["range"]) for one in held.values()}
    assert len(ranges) == 1
    best = next(arm.best for arm in study.arms if arm.arm == "evolution")
    assert held["courses-1"]["data"][3]["y"][study.compared - 1] == pytest.approx(best)


def test_courses_and_luck_only_rise(study):
    for arm in study.arms:
        values = [at.best for at in arm.course]
        assert values == sorted(values)
        assert [at.genomes for at in arm.course] == list(range(1, 7))
        assert arm.course[study.compared - 1].best == arm.best
    middles = [band.value for band in study.luck]
    assert middles == sorted(middles)
    assert study.luck[study.compared - 1] == study.noise_best


def test_what_is_missing_is_said_and_not_drawn():
    bare = made_up_study(("evolution", "random"), seeds=1, each=2, placebos=False)
    text = words(render_study(bare))
    assert "No arm has spent a token." in text
    assert "unknown no placebo has a score yet" in text
    assert all(not trace.get("fill") for one in courses(bare) for trace in one.traces)
    rating = next(column for column in study_columns(bare) if column.name == "rating")
    assert not rating.known


def test_a_study_without_results_renders():
    whole = made_up_study(("llm",), seeds=1, each=2)
    none = {"genomes": 0, "course": (), "best": None, "tokens": 0}
    for name in ("valid", "gain", "against", "per_1000_tokens", "per_usd", "hits", "agreement"):
        none[name] = None
    arms = tuple(arm.model_copy(update=none) for arm in whole.arms)
    empty = whole.model_copy(update={"arms": arms, "compared": 0, "luck": (), "noise_best": None})
    page = render_study(empty)
    assert "Nothing has been measured yet" in words(page)
    assert "There is nothing to draw yet" in words(page)
    assert figures(page) == {}


def test_hostile_text_stays_text(study):
    evil = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'
    arms = tuple(arm.model_copy(update={"arm": evil, "proposer": evil}) for arm in study.arms)
    changes = {"study": evil, "root": evil, "suite": evil, "models": (evil,), "reference": evil}
    tags = [tag for tag, _ in outline(render_study(study.model_copy(
        update={**changes, "arms": arms}))).elements]  # fmt: skip
    assert tags.count("script") == 4
    assert "img" not in tags


def test_it_is_written(study, page, tmp_path):
    path = write_study(study, tmp_path / "new" / "study.html")
    assert path.read_text() == page

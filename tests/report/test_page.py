import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from palmette.errors import StorageError
from palmette.records import Event, Rate, StoredExam
from palmette.report import render, write
from palmette.report.examined import parted
from tests.report.make_exam import made_up_exam
from tests.report.make_example import without_results

VOID = {"meta", "link", "input", "br"}


class Outline(HTMLParser):
    """Collects elements, and fails on one that is closed but not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def outline(page: str) -> Outline:
    parsed = Outline()
    parsed.feed(page)
    parsed.close()
    assert parsed.open == []
    return parsed


def words(page: str) -> str:
    """The text of the page's main part without scripts, styles and tags."""
    main = page[page.index("<main") : page.index("</main>")]
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", main, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", bare))


@pytest.fixture(scope="module")
def page(data) -> str:
    return render(data)


def test_it_opens_with_what_it_does_not_claim(data, page):
    text = words(page)
    assert text.index("Candidates, not discoveries") < text.index("Top candidate")
    assert f"{data.top.score:.4f} [{data.top.low:.4f}, {data.top.high:.4f}]" in text
    assert "against the root, deltanet" in text
    assert f"against the best human baseline, {data.best_baseline.name}" in text
    assert f"at rung 3, {data.noise.freedom} degrees of freedom" in text


def test_it_is_one_well_formed_file_that_asks_for_nothing_else(page):
    parsed = outline(page)
    for tag, attributes in parsed.elements:
        assert "src" not in attributes
        if "href" in attributes:
            assert attributes["href"].startswith(("#", "data:")), tag
    assert len(page.encode()) < 6_000_000
    assert page.count("plotly.js v") == 1
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_its_policy_forbids_the_network(page):
    policy = next(
        attributes["content"]
        for tag, attributes in outline(page).elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_every_figure_has_its_place_and_its_data(page):
    held = json.loads(re.search(r'id="figures">(.*?)</script>', page, re.DOTALL)[1])
    places = {
        attributes["id"]
        for _, attributes in outline(page).elements
        if attributes.get("class") == "figure"
    }
    expected = {"tree", "progress", "leaderboard", "predictions", "curves", "rates-1", "rates-2"}
    assert places == set(held) == expected


def test_the_table_holds_every_estimate(data, page):
    board = page[page.index('<table id="board"') :]
    board = board[: board.index("</table>")]
    assert board.count("<tr class=") == len(data.best)
    assert all(row.genome[:8] in board for row in data.best)


def test_the_record_names_failures_rungs_and_notes(data, page):
    text = words(page)
    assert "out of memory" in text
    assert "the standard library of Python 3.11" in text
    assert "a laptop that does not exist" in text
    assert "its numbers were drawn, nothing was trained" in text
    assert "What the numbers do not say" in text


def test_the_source_is_highlighted_and_whole(data, page):
    source = page[page.index('<div id="source">') : page.index("</details>")]
    assert '<span class="k">class</span>' in source
    assert "x &lt; 0 gives 0" in source


def test_a_campaign_without_results_says_so(data):
    text = words(render(without_results(data)))
    assert "No trial has finished yet, so there is nothing to rank." in text
    assert "no genome has two seeds yet" in text
    assert "No genome has an estimate yet." in text
    assert "No trial has been queued yet." in text
    assert "There is no top candidate yet" in text
    assert "No candidate has been exported." in text


def test_an_empty_campaign_renders(data):
    text = words(render(replace(without_results(data), tree=(), candidates=())))
    assert "No genome has been recorded yet." in text


def test_one_finished_trial_renders(data):
    done = [next(trial for trial in data.trials if trial.state == "done")]
    scored = replace(without_results(data, done), scores={done[0].trial: 0.38})
    text = words(render(scored))
    assert "No found genome has an estimate yet" in text
    assert "No sweep has a finished trial yet." in text


def test_only_failures_render(data):
    failed = [trial for trial in data.trials if trial.state == "failed"]
    text = words(render(without_results(data, failed)))
    assert f"{len(failed)} failed trials" in text
    assert "No trial has finished yet" in text


def test_a_top_candidate_without_interval_says_why(data):
    bare = [row.model_copy(update={"low": None, "high": None}) for row in data.best]
    text = words(render(replace(data, best=bare, differences=(), noise=None)))
    assert "a score without an interval, because no seed was repeated" in text
    assert "Neither the root nor a human baseline has an interval at the same rung" in text


def test_hostile_text_stays_text(data):
    evil = '</script><script>alert(1)</script><img src=x onerror="alert(2)">&amp;'
    config = data.config.model_copy(
        update={"name": evil, "root_name": evil, "corpus": evil, "root": evil}
    )
    page = render(
        replace(
            data,
            config=config,
            best=[row.model_copy(update={"name": evil, "expression": evil}) for row in data.best],
            tree=[
                row.model_copy(
                    update={"name": evil, "expression": evil, "motivation": evil, "edit_text": evil}
                )
                for row in data.tree
            ],
            events=[Event(seconds=1, kind=evil, detail={evil: evil})],
            winner_genome=evil,
            winner_source=evil,
            notes=[evil],
        )
    )
    tags = [tag for tag, _ in outline(page).elements]
    assert tags.count("script") == 4
    assert "img" not in tags


def test_writing_replaces_the_old_page_and_leaves_nothing_else(data, tmp_path):
    path = tmp_path / "new" / "report.html"
    write(data, path)
    first = path.read_text()
    write(without_results(data), path)
    assert path.read_text() != first
    assert list(path.parent.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot be written: .*; name another"):
        write(data, tmp_path / "file" / "report.html")


def test_without_an_exam_it_says_so_and_tells_the_noise_floor(data, page):
    text = words(page)
    assert "nothing on this page has sat an exam on sealed tasks yet" in text
    assert "No genome of this campaign has sat an exam" in text
    assert "No placebo has come to the last rung" in text
    rate = Rate(happened=0, cases=3, bound=0.632)
    told = replace(data, status=data.status.model_copy(update={"placebo_rate": rate}))
    assert "0 of 3 placebos on the last rung look better than the root" in words(render(told))


def test_what_exams_have_said_stands_below_the_opening(data):
    exam = made_up_exam()
    done = StoredExam(
        number=2, campaign="main", sitting="exam-2", state="finished", plan=exam.plan,
        verdicts=exam.verdicts, placebos=exam.placebos,
    )  # fmt: skip
    open_one = StoredExam(
        number=3, campaign="main", sitting="exam-3", state="running", plan=exam.plan
    )
    told = replace(data, exams=(done, open_one), exam_placebos=exam.placebo_rate)
    text = words(render(told))
    assert "2 verified; the rest are candidates" in text
    for verdict in exam.verdicts:
        assert all(part in text for part in parted(verdict.sentence))
    assert "Exam 3 is not over" in text
    assert "0 of 7 placebos were verified; the true rate may be up to 34.8 %" in text
    assert "nothing on this page has sat an exam" not in text

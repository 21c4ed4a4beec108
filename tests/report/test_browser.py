"""The page in a real browser: it draws, sorts, hovers and stays off the network."""

import os
import shutil
from dataclasses import replace

import pytest
from playwright.sync_api import sync_playwright

from palmette.report import summaries, write
from palmette.report.exam import write_exam
from tests.report.make_exam import made_up_exam
from tests.report.make_example import without_results

pytestmark = pytest.mark.browser

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser():
    if os.environ.get("PALMETTE_NO_BROWSER") == "1":
        pytest.skip("PALMETTE_NO_BROWSER=1 is set")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        pytest.fail(
            "no Chromium was found; install one (apt-get install chromium), or set "
            "PALMETTE_NO_BROWSER=1 to leave the browser tests out"
        )
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield running
        running.close()


class Visit:
    """An opened page with all that it logged and asked for."""

    def __init__(self, browser, path, **options):
        self.messages, self.requests = [], []
        self.page = browser.new_page(**options)
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-drawn]")


@pytest.fixture(scope="module")
def path(data, tmp_path_factory):
    return write(data, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def visit(browser, path):
    return Visit(browser, path, viewport={"width": 1280, "height": 900})


def test_every_figure_is_drawn_without_a_word_on_the_console(visit, path):
    places = visit.page.locator(".figure")
    assert places.count() == 7
    assert visit.page.locator(".figure .main-svg").count() >= 7
    for number in range(places.count()):
        assert places.nth(number).locator(".scatterlayer path").count() > 0
    assert visit.messages == []
    assert visit.requests == [path.as_uri()]


def test_hovering_a_node_shows_its_edit(visit, data):
    row = next(held.row for held in summaries.outcomes(data.tree) if held.row.edit == "replace")
    visit.page.locator("#tree").scroll_into_view_if_needed()
    x, y = visit.page.evaluate(
        """(genome) => {
          const figure = document.getElementById("tree"), layout = figure._fullLayout;
          const box = figure.getBoundingClientRect();
          for (const trace of figure.data) {
            const n = (trace.customdata ?? []).indexOf(genome);
            if (n >= 0) return [
              box.x + layout.xaxis._offset + layout.xaxis.d2p(trace.x[n]),
              box.y + layout.yaxis._offset + layout.yaxis.d2p(trace.y[n]),
            ];
          }
        }""",
        row.genome,
    )
    visit.page.mouse.move(x - 4, y)
    visit.page.mouse.move(x, y)
    label = visit.page.locator("#tree .hoverlayer")
    label.get_by_text("predicted").wait_for()
    text = label.text_content()
    assert row.genome[:8] in text
    assert "replace" in text
    assert "happened" in text


def test_a_click_on_a_heading_sorts_the_table(visit):
    heading = visit.page.locator("#board th").filter(has_text="score")
    cells = visit.page.locator("#board tbody tr td:nth-child(4)")
    before = [float(text) for text in cells.all_text_contents()]
    heading.locator("button").click()
    assert [float(text) for text in cells.all_text_contents()] == sorted(before)
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.locator("button").click()
    assert [float(text) for text in cells.all_text_contents()] == sorted(before, reverse=True)


def test_the_filter_hides_rows(visit):
    rows = visit.page.locator("#board tbody tr")
    visit.page.get_by_label("Filter").fill("baseline")
    assert rows.filter(visible=True).count() == 5
    visit.page.get_by_label("Filter").fill("")
    assert rows.filter(visible=True).count() == rows.count()


def test_the_copy_button_answers(visit):
    visit.page.locator("details.source summary").click()
    visit.page.locator("button.copy").click()
    visit.page.locator("button.copy").filter(has_text="ed").wait_for()  # Copied, or Selected
    assert visit.messages == []


def test_colours_follow_the_system(visit):
    def edges():
        return visit.page.evaluate("document.getElementById('tree').data[0].line.color")

    light = edges()
    visit.page.emulate_media(color_scheme="dark")
    for _ in range(500):  # not wait_for_function: the page forbids what it evaluates
        if edges() != light:
            break
        visit.page.wait_for_timeout(20)
    assert edges() != light
    visit.page.emulate_media(color_scheme="light")


def test_nothing_is_wider_than_a_phone(browser, path):
    phone = Visit(browser, path, viewport={"width": 390, "height": 800}, has_touch=True)
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert phone.messages == []


def test_an_empty_campaign_opens_quietly(browser, data, tmp_path):
    empty = replace(without_results(data), tree=(), candidates=())
    quiet = Visit(browser, write(empty, tmp_path / "report.html"))
    assert quiet.page.locator(".figure").count() == 0
    assert quiet.page.locator(".empty").count() >= 6
    assert quiet.messages == []


def test_an_exam_is_drawn_and_fits_a_phone(browser, tmp_path):
    path = write_exam(made_up_exam(), tmp_path / "exam.html")
    phone = Visit(browser, path, viewport={"width": 390, "height": 800})
    assert phone.page.locator(".figure .main-svg").count() >= 8
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert phone.messages == []
    assert phone.requests == [path.as_uri()]

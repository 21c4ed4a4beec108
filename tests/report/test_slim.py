"""Pages that are kept carry the small bundle of Plotly, and nothing else of them changes."""

import importlib.util
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs

SCRIPT = Path(__file__).parents[2] / "scripts" / "slim.py"


@pytest.fixture(scope="module")
def slim():
    spec = importlib.util.spec_from_file_location("slim", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def page(tmp_path):
    """A page with the whole bundle between other parts."""
    bundle = get_plotlyjs()
    path = tmp_path / "page.html"
    path.write_text(f"<p>before</p><script>{bundle}</script><script>after()</script>")
    return path


def bundle_of(folder, version):
    path = folder / f"basic-{version}.js"
    path.write_text(f"/**\n* plotly.js (basic - minified) {version}\n*/\nsmall()")
    return path


def test_only_the_bundle_is_exchanged_and_only_once(slim, page, tmp_path):
    version = slim.VERSION.search(get_plotlyjs()[:400])[1]
    small = bundle_of(tmp_path, version)
    assert slim.main([str(small), str(page)]) == 0
    once = page.read_text()
    assert once == f"<p>before</p><script>{small.read_text()}</script><script>after()</script>"
    assert slim.main([str(small), str(page)]) == 0
    assert page.read_text() == once


def test_another_version_is_refused(slim, page, tmp_path, capsys):
    before = page.read_text()
    assert slim.main([str(bundle_of(tmp_path, "v1.2.3")), str(page)]) == 2
    assert "other versions of Plotly" in capsys.readouterr().err
    assert page.read_text() == before

import json
import random
from dataclasses import replace

import pytest

from benchmarks.designers import (
    arena,
    code,
    control,
    curve,
    language,
    overhead,
    pictures,
    steps,
    validity,
)
from benchmarks.designers.form import PARENTS, genome
from benchmarks.designers.shared import read
from palmette.designer.session import UnreadableError
from palmette.tasks import load_corpus
from palmette.testing.scripted import Scripted
from palmette.testing.scripted_designer import legal
from palmette.train.executor import Inline
from palmette.train.loop import run_trial

GLU = "lm(stack(pre(attn(positions='rope')), pre(glu())))"
BENT = "import torch\nclass Layer(torch.nn.Module\n"


@pytest.fixture
def scripted(monkeypatch):
    """Every figure's endpoint is a model that answers legally; it also tells what it was asked."""

    def answer(model, request):
        prompt = request.messages[1].text
        if request.shape is not None:
            return legal(model, request)
        return f"Use `{GLU}`." if "one expression" in prompt else f"Sure:\n```python\n{BENT}```"

    endpoint = Scripted(answer)
    for figure in (validity, control, steps):
        monkeypatch.setattr(figure, "connect", lambda names: (endpoint, ("scripted",)))
    return endpoint


def test_validity_counts_tries_within_the_same_tokens_and_goes_on(scripted, tmp_path, capsys):
    results = tmp_path / "rows.jsonl"
    given = ["--form", "code", "text", "constrained", "--count", "1", "--results", str(results)]
    assert validity.main(given) == 0
    rows = {row["form"]: row for row in read(results)}
    assert all(row["tokens"] <= validity.BUDGET for row in rows.values())
    assert not rows["code"]["valid"]
    assert len(rows["code"]["attempts"]) > 2
    assert all("does not parse" in one["faults"][0] for one in rows["code"]["attempts"])
    assert rows["text"]["first"]
    assert rows["text"]["proposal"] == GLU
    assert rows["constrained"]["attempts"][0]["form"] == "schema"
    asked = len(scripted.requests)
    assert validity.main(given) == 0
    assert len(scripted.requests) == asked
    assert len(pictures.validity_drawn(read(results)).traces) == 2
    told = capsys.readouterr().out
    assert "100.0 % [20.7, 100.0]" in told
    assert "does not parse" in told


@pytest.fixture
def quick(monkeypatch):
    """A first rung that takes a moment, trained in this process."""
    recipe = arena.first_rung("seedling")
    rung = replace(recipe.rungs[0], tokens=1024, evaluation_tokens=1024, rates=1)
    small = replace(recipe, rungs=(rung,), learning_rates=(1e-2,))
    monkeypatch.setattr(arena, "first_rung", lambda scale: small)

    def trained(spec, weights, progress):
        return run_trial(spec, load_corpus(), weights)

    monkeypatch.setattr(arena, "Pool", lambda workers, corpus, weights: Inline(trained))


@pytest.mark.parametrize("parent", PARENTS)
def test_every_parent_is_told_and_is_no_proposal(parent):
    for form in (code.FORM, *language.FORMS):
        assert len(form.messages(parent)[1].text) < 3000, form.name
    with pytest.raises(UnreadableError, match="parent again"):
        code.read(f"```python\n{code.source(parent)}```", parent)
    with pytest.raises(UnreadableError, match="parent again"):
        language.read_text(genome(parent).text, parent)


def test_a_file_is_the_same_under_other_names_and_comments_alone():
    text = code.source("attention")
    renamed = text.replace("scores", "s").replace("self.qkv", "self.all").replace("Layer", "Mine")
    assert code.same(renamed + "# mine\n", text)
    assert not code.same(text.replace("triu(1)", "triu(2)"), text)
    assert not code.same(text.replace("softmax", "sigmoid"), text)


def test_expressions_are_found_in_prose():
    found = list(language.expressions("Try stack(pre(glu())) or `pre(lin())`; (not) f(."))
    assert found == ["stack(pre(glu()))", "pre(lin())"]


def test_control_trains_an_arm_and_reads_it_back(scripted, quick, tmp_path, capsys):
    results = tmp_path / "rows.jsonl"
    given = ["--arm", "llm", "--scale", "seedling", "--seeds", "1", "--genomes", "1"]
    given += ["--directory", str(tmp_path / "stores"), "--results", str(results)]
    assert control.main(given) == 0
    (row,) = read(results)
    assert len(row["genomes"]) == 1
    assert sum(one["tokens"] for one in row["outcomes"]) > 0
    best = max(one["score"] for one in row["outcomes"] if one["tried"])
    assert control.best_so_far(row)[-1] == max(0.0, best - row["root"])
    assert "llm: 1 campaigns, 1 genomes" in capsys.readouterr().out
    assert control.drawn([row]).traces


def test_steps_propose_on_one_archive_and_train_the_children(scripted, quick, tmp_path, capsys):
    results = tmp_path / "rows.jsonl"
    given = ["--steps", "1", "4", "--count", "1", "--scale", "seedling", "--genomes", "1"]
    given += ["--directory", str(tmp_path / "stores"), "--results", str(results)]
    assert steps.main(given) == 0
    rows = read(results)
    made = {row["steps"]: row for row in rows if "steps" in row}
    assert made[1]["asked"] < made[4]["asked"]
    assert made[1]["parent"] == made[4]["parent"]
    assert {len(values) for values in steps.qualities(rows).values()} == {1}


def test_overhead_has_a_row_a_proposal(monkeypatch):
    monkeypatch.setattr(overhead, "FIRST", 3)
    rows = overhead.measure(2, 7)
    assert [row["number"] for row in rows] == list(range(7))
    assert all(row[part][0] > 0 for row in rows for part in overhead.PARTS)
    assert "2 steps" in overhead.table(rows)


def test_time_inside_a_part_counts_for_that_part_alone():
    watch = overhead.Watch()
    with watch.time("outer"), watch.time("inner"):
        sum(range(200_000))
    assert watch.spent["outer"][1] < watch.spent["inner"][1]


@pytest.mark.parametrize("name", ["constant", "line", "saturating"])
def test_the_curve_that_made_the_data_has_the_most_weight(name):
    rng = random.Random(0)
    made = {
        "constant": lambda s: 0.02,
        "line": lambda s: 0.02 * s,
        "saturating": lambda s: 0.1 - 0.1 * 2.0 ** (1 - s),
    }[name]
    data = {s: [made(s) + rng.gauss(0, 0.003) for _ in range(20)] for s in range(1, 7)}
    found = curve.fitted(data, refits=5)
    assert max(found, key=lambda one: one.weight).curve.name == name
    assert sum(one.weight for one in found) == pytest.approx(1)


def test_too_few_proposals_make_no_curve():
    with pytest.raises(ValueError, match="7 proposals"):
        curve.fitted({1: [0.1], 2: [0.2]})


def test_a_first_rung_is_that_of_its_scale():
    recipe = arena.first_rung("pocket")
    assert [rung.tokens for rung in recipe.rungs] == [114_688]
    assert json.dumps(recipe.baselines) == "[]"

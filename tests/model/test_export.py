import ast
import json
import math
import random
import subprocess
import sys

import pytest
import torch

import palmette
from palmette.errors import PalmetteError
from palmette.grammar.sample import sample_genome
from palmette.model import atlas, build_at, fit
from palmette.model._sources import Sources
from palmette.model.export import export

# Runs where palmette cannot be imported: each file's logits, and its loss while it trains.
STRANGER = """
import json, pathlib, runpy, sys
sys.modules["palmette"] = None
import torch
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.py")):
    torch.manual_seed(0)
    net = runpy.run_path(str(path))["model"]()
    fresh = torch.cat([p.detach().flatten() for p in net.parameters()])
    net.load_state_dict(torch.load(path.with_suffix(".pt"), weights_only=True))
    same = torch.equal(fresh, torch.cat([p.detach().flatten() for p in net.parameters()]))
    ids = torch.load(path.with_suffix(".ids"), weights_only=True)
    wanted = torch.load(path.with_suffix(".logits"), weights_only=True)
    got = net(ids)
    error = float(((got - wanted).abs().max() / wanted.abs().max()).detach())
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    losses = []
    for _ in range(4):
        loss = torch.nn.functional.cross_entropy(net(ids).flatten(0, 1), ids.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    print(json.dumps([path.stem, error, same, losses]))
"""


@pytest.fixture(scope="module")
def genomes():
    rng = random.Random(1)
    sampled = [sample_genome(palmette.language(), rng, most=24) for _ in range(10)]
    written = ["lm(stack(pre(mlp())), positions='learned', tie=False, norm='layer')"]
    return [*sampled, *map(palmette.parse, written), *map(atlas.load, atlas.names())]


def test_strangers_run_and_train_the_files(genomes, tmp_path):
    for number, genome in enumerate(genomes):
        place = fit(genome, 20_000, vocabulary=64, context=63).place
        model = build_at(genome, place, seed=0)
        path = export(genome, place, tmp_path / f"{number:03}.py", model.state_dict())
        ids = torch.randint(64, (2, 63), generator=torch.Generator().manual_seed(0))
        torch.save(ids, path.with_suffix(".ids"))
        torch.save(model(ids).detach(), path.with_suffix(".logits"))
    run = subprocess.run(
        [sys.executable, "-c", STRANGER, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(rows) == len(genomes)
    for (_, error, same, losses), genome in zip(rows, genomes, strict=True):
        assert error <= 1e-6, str(genome)
        assert same, f"another initialisation from the same seed: {genome}"
        assert losses[-1] < losses[0], str(genome)


def test_the_file_reads_as_if_written_by_hand(genomes, tmp_path):
    for genome in genomes:
        place = fit(genome, 20_000, vocabulary=64, context=63).place
        text = export(genome, place, tmp_path / "best.py").read_text()
        tree = ast.parse(text)
        imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        modules = {
            node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
            for node in imports
        }
        roots = {module.partition(".")[0] for module in modules}
        assert roots - sys.stdlib_module_names == {"torch"}
        for unwanted in ("jaxtyping", "type: ignore", "noqa", "palmette.", "Float["):
            assert unwanted not in text
        assert max(len(line) for line in text.splitlines()) <= 100
        assert "".join(str(genome).split()) in "".join(text.split())


def test_running_the_file_says_what_it_is(tmp_path):
    genome = palmette.parse("stack(pre(mlp()))")
    found = fit(genome, 20_000)
    path = export(genome, found.place, tmp_path / "best.py", header={"score": 0.25})
    assert "score: 0.25" in path.read_text()
    run = [sys.executable, str(path)]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert "best.pt is not there: the weights are random" in said
    assert f"{found.parameters:,} parameters" in said
    torch.save(build_at(genome, found.place).state_dict(), tmp_path / "best.pt")
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert "with the weights of best.pt" in said
    assert "ids [1, 64] -> logits [1, 64, 256]" in said


def test_a_header_cannot_break_out_of_the_docstring(tmp_path):
    genome = palmette.parse("pre(mlp())")
    place = fit(genome, 20_000).place
    path = export(genome, place, tmp_path / "x.py", header={"note": '"""\nimport os\\'})
    first, *others = ast.parse(path.read_text()).body
    assert isinstance(first, ast.Expr)
    assert "os" not in [name.name for part in others for name in getattr(part, "names", [])]


def test_equal_layers_are_folded(tmp_path):
    genome = palmette.parse("every(3, pre(mlp()), pre(glu()))")
    place = fit(genome, 1_000_000).place
    text = export(genome, place, tmp_path / "x.py").read_text()
    made = text[text.index("def model") :]
    assert made.count("FeedForward(") <= 4
    assert "for _ in range(" in made


def test_helpers_with_the_same_name_are_told_apart(tmp_path, monkeypatch):
    (tmp_path / "tests_made_one.py").write_text(
        "from tests_made_two import call as call_two\n\n\n"
        "def _pad(x):\n    return x + 1\n\n\n"
        "def call(x):\n    # the pad of this file\n    return _pad(call_two(x))\n"
    )
    (tmp_path / "tests_made_two.py").write_text(
        "import math\n\nSTEP = 2\n\n\ndef _pad(x):\n    return x * STEP * math.e\n\n\n"
        "def call(x):\n    pad = _pad(x)\n    return pad\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    sources = Sources()
    sources.add("tests_made_one", "call")
    text = "\n".join([*sources.import_lines(), *sources.texts.values()])
    space = {}
    exec(text, space)
    assert space[sources.names["tests_made_one", "call"]](1.0) == 2 * math.e + 1
    assert len(set(sources.names.values())) == 5


def test_what_cannot_be_copied_is_refused(tmp_path, monkeypatch):
    (tmp_path / "tests_made_three.py").write_text(
        "import numpy as np\n\n\ndef call(x):\n    return np.exp(x)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PalmetteError, match="'np' is neither torch's nor a class"):
        Sources().add("tests_made_three", "call")

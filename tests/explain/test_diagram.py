import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest

import palmette
from palmette.explain import svg, text_diagram
from palmette.grammar.genome import Genome
from palmette.grammar.node import Node, child, children, count, knob, node
from palmette.grammar.types import Sort
from palmette.ops._base import Place

PLACE = Place(width=48, depth=6, hidden=1.0, vocabulary=272, context=100)
SVG = "{http://www.w3.org/2000/svg}"


def drawn(genome: Genome, place: Place | None = None) -> ElementTree.Element:
    return ElementTree.fromstring(svg(genome, place))


def words(genome: Genome, place: Place | None = None) -> list[str]:
    return [element.text or "" for element in drawn(genome, place).iter(f"{SVG}text")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stack(pre(mlp()))", "stack · × 6, fresh weights each time"),
        ("repeat(3, pre(mlp()))", "repeat · × 3, the same weights each time"),
        ("every(4, pre(mlp()), pre(glu()))", "every · 6 layers in periods of 4"),
        ("every(4, pre(mlp()), pre(glu()))", "3 of 4 layers"),
        ("every(4, pre(mlp()), pre(glu()))", "1 of 4 layers"),
        ("pre(par(mlp(), glu()))", "+"),
        ("pre(par(mlp(), glu(), merge='concat'))", "concatenate, project"),
        ("pre(gate(mlp(), glu(), activation='silu'))", "first × silu(second)"),
        ("post(mlp(), norm='layer')", "layer norm"),
        ("pre(mlp(activation='relu'))", "activation='relu'"),
        ("pre(glu(ratio=4))", "ratio=4"),
        ("pre(rule(outer(key(), value())))", "outer(key(), value())"),
    ],
)
def test_a_combinator_is_drawn_with_its_meaning(text, expected):
    assert expected in words(palmette.parse(text), PLACE)


def test_a_stack_in_a_repeat_runs_once():
    genome = palmette.parse("repeat(2, every(2, pre(mlp()), pre(glu())))")
    assert "every · 2 layers in periods of 2" in words(genome, PLACE)


def test_a_sequence_leaves_the_depth_to_its_parts():
    genome = palmette.parse("seq(stack(pre(mlp())), post(glu()))")
    assert "stack · × 6, fresh weights each time" in words(genome, PLACE)


@pytest.mark.parametrize(("text", "norms"), [("pre", 1), ("post", 1), ("sandwich", 2)])
def test_norms_stand_where_the_block_has_them(text, norms):
    genome = palmette.parse(f"{text}(mlp(), norm='layer')")
    assert words(genome).count("layer norm") == norms


def test_weights_are_the_closed_form_of_one_copy():
    genome = palmette.parse("stack(pre(mlp()))")
    leaf = genome.root.nodes()[0].nodes()[0].nodes()[0]
    count_of_one = f"{leaf.cost(PLACE, 100).parameters:,} weights"
    assert count_of_one in words(genome, PLACE)
    assert not any("weights" in word for word in words(genome) if "fresh" not in word)


@pytest.mark.parametrize(
    "text",
    [
        "stack(pre(mlp()), pre(glu()))",
        "seq(every(8, repeat(4, post(gate(glu(), mlp()))), pre(mlp())), sandwich(mlp()))",
        "stack(pre(par(mlp(), gate(glu(), par(glu(), mlp())), merge='concat')))",
        "pre(rule(write(erase(old(), key(), rate()), key(), value(), rate())))",
    ],
)
def test_everything_stands_inside_the_picture(text):
    root = drawn(palmette.parse(text), PLACE)
    width, height = (float(root.get(side)) for side in ("width", "height"))
    boxes = [
        tuple(float(element.get(key)) for key in ("x", "y", "width", "height"))
        for element in root.iter(f"{SVG}rect")
    ]
    assert boxes
    assert all(
        x >= 0 and y >= 0 and x + w <= width + 1 and y + h <= height + 1 for x, y, w, h in boxes
    )
    for path in root.iter(f"{SVG}path"):
        numbers = [float(n) for n in re.findall(r"-?[\d.]+", path.get("d"))]
        assert all(0 <= x <= width + 1 for x in numbers[::2])
        assert all(0 <= y <= height + 1 for y in numbers[1::2])


def test_siblings_do_not_overlap():
    root = drawn(palmette.parse("pre(par(mlp(), glu(), mlp(activation='relu'), merge='gate'))"))
    plates = [e for e in root.iter(f"{SVG}rect") if e.get("class") == "pal-channel"]
    ends = sorted((float(e.get("x")), float(e.get("x")) + float(e.get("width"))) for e in plates)
    assert len(ends) == 3
    assert all(right < left for (_, right), (left, _) in pairwise(ends))


def test_the_terminal_tree():
    genome = palmette.parse("every(4, pre(mlp()), pre(par(mlp(), glu(ratio=4), merge='gate')))")
    assert text_diagram(genome).splitlines() == [
        "lm",
        "└─ every: a period of 4 layers",
        "   ├─ [3 of 4 layers] pre: x + op(norm(x))",
        "   │  └─ mlp · channel mixer",
        "   └─ [1 of 4 layers] pre: x + op(norm(x))",
        "      └─ par · merge='gate'",
        "         ├─ mlp · channel mixer",
        "         └─ glu · channel mixer · ratio=4",
    ]
    assert "every: 6 layers in periods of 4" in text_diagram(genome, PLACE)


# A language that the drawings have never heard of.


@node
class Trunk(Node):
    """A model of another kind."""

    sort = Sort.MODEL
    role = "model"
    core: Node = child(Sort.CORE, meaning="the trunk")


@node
class Zigzag(Node):
    """There and back."""

    sort = Sort.CORE
    turns: int = count(2, 5, meaning="how often")
    there: Node = child(Sort.CORE, meaning="the way there")
    back: Node = child(Sort.CORE, meaning="the way back")


@node
class Leaky(Node):
    """A step that forgets."""

    sort = Sort.BLOCK
    leak: str = knob("none", "half", meaning="what is lost")
    op: Node = child(Sort.OPERATOR, meaning="what is added")


@node
class Mix(Node):
    """Something of everything."""

    sort = Sort.OPERATOR
    parts: tuple[Node, ...] = children(Sort.OPERATOR, least=2, most=3, meaning="what is mixed")


@node
class Fold(Node):
    """Folds <time> & space."""

    sort = Sort.OPERATOR
    role = "token mixer"
    crease: str = knob("sharp", "<soft>", meaning="how")


@pytest.fixture
def unknown() -> Genome:
    fold = Fold(crease="<soft>")
    step = Leaky(leak="half", op=Mix(parts=(fold, Fold())))
    return Genome(Trunk(core=Zigzag(turns=5, there=step, back=Leaky(op=Fold()))))


def test_an_unknown_language_is_drawn_by_its_fields(unknown):
    held = words(unknown)
    assert {"trunk", "zigzag · turns 5", "there", "back", "leaky · leak='half'", "mix"} <= set(held)
    assert held.count("fold") == 3
    assert "crease='<soft>'" in held
    kinds = [element.get("class") for element in drawn(unknown).iter(f"{SVG}rect")]
    assert kinds.count("pal-token") == 3


def test_an_unknown_language_prints_by_its_fields(unknown):
    assert text_diagram(unknown).splitlines()[1:4] == [
        "└─ zigzag: turns 5",
        "   ├─ [there] leaky · leak='half'",
        "   │  └─ mix",
    ]


def test_docstrings_and_knobs_are_escaped(unknown):
    assert "Folds &lt;time&gt; &amp; space." in svg(unknown)


def test_an_expression_is_one_line_of_the_tree():
    tree = text_diagram(palmette.parse("pre(rule(outer(key(), value()), heads=2))"), PLACE)
    assert (
        tree.splitlines()[-1]
        .strip()
        .startswith("└─ rule · token mixer · outer(key(), value()) · heads=2 · ")
    )
    assert len(tree.splitlines()) == 3

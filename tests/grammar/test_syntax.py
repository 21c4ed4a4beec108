"""Text to tree and back."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palmette.errors import GenomeError
from palmette.grammar import Sort, check, parse, signature, unparse

from .toy import LM, TOY, Conv, Glu, Lin, Par, Pre, Repeat, Route, Seq, Stack, sampled, seeds


def faults(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(GenomeError) as caught:
        parse(text, TOY)
    return [(fault.line, fault.column, fault.message) for fault in caught.value.faults]


def outcome(text: str) -> str:
    """Reads a text that may be anything; whatever it is, it is one of two things."""
    try:
        root = parse(text, TOY)
    except GenomeError as error:
        lines = len(text.splitlines()) + 1
        return "faults" if all(0 <= f.line <= lines for f in error.faults) else ""
    return "genome" if check(root, TOY) == () else ""


@given(seeds)
@settings(max_examples=200, derandomize=True, deadline=None)
def test_printing_then_parsing_gives_the_same_tree(seed: int) -> None:
    root = sampled(seed).root
    text = unparse(root)
    again = parse(text, TOY)
    assert again == root
    assert unparse(again) == text
    assert check(again, TOY) == ()


def test_a_tree_is_written_as_documented() -> None:
    root = LM(
        core=Stack(
            pattern=(
                Repeat(n=3, parts=(Pre(op=Lin(erase="beta", negative=True)),)),
                Pre(op=Glu(ratio=Fraction(4)), norm="layer"),
                Pre(op=Glu(ratio=Fraction(1, 2))),
            )
        ),
        tied=False,
    )
    assert unparse(root) == (
        "lm(stack(repeat(3, pre(lin(erase='beta', negative=True))), "
        "pre(glu(ratio=4), norm='layer'), pre(glu(ratio=1/2))), tied=False)"
    )


def test_single_and_many_children_share_a_call() -> None:
    node = parse("route(lin(), glu(), conv(), top=2)", TOY, Sort.OPERATOR)
    assert node == Route(router=Lin(), experts=(Glu(), Conv()), top=2)


@pytest.mark.parametrize("written", ["8/3", "4", "4.0", "8/2", "1/2", "0.5"])
def test_a_ratio_may_be_any_number_equal_to_a_choice(written: str) -> None:
    (glu,) = parse(f"pre(glu(ratio={written}))", TOY).nodes()[0].nodes()
    over, _, under = written.partition("/")
    assert glu.knobs()["ratio"] == Fraction(over) / Fraction(under or 1)


@pytest.mark.parametrize("text", ["par(lin(), glu())", "seq(par(lin(), glu()))"])
def test_a_core_or_block_at_the_top_is_wrapped(text: str) -> None:
    assert unparse(parse(text, TOY)) == f"lm({text})"


def test_the_lm_that_wraps_requires_what_lm_requires() -> None:
    assert faults("pre(mirror())") == [
        (1, 5, "mirror is not causal, which this place requires; use another node")
    ]
    assert unparse(parse("classify(pre(mirror()))", TOY)) == "classify(pre(mirror()))"


def test_an_op_at_the_top_is_told_about_the_residual() -> None:
    assert faults("lin()") == [
        (
            1,
            1,
            "wanted a Core or Block, got lin(...), which is an Op; did you mean pre(lin(...))?",
        )
    ]


def test_another_sort_reads_a_part_as_it_stands() -> None:
    assert parse("lin()", TOY, Sort.OPERATOR) == Lin()
    assert isinstance(parse("seq(pre(lin()), pre(glu()))", TOY, Sort.CORE), Seq)


def test_every_fault_is_reported_with_its_place() -> None:
    text = """
  stack(
    pre(lni(erase='beta')),
    pre(lin(eras='beta', heads=3, negative=1)),
    lin(),
    pre(conv(padding='same')))
"""
    assert faults(text) == [
        (
            3,
            9,
            "no node is called 'lni'; did you mean 'lin'? There are: attn, classify, conv, gate, "
            "glu, lin, lm, mirror, par, pre, repeat, route, seq, stack",
        ),
        (
            4,
            13,
            "lin has no knob called 'eras'; did you mean 'erase'? its knobs are erase, heads, "
            "negative",
        ),
        (4, 32, "lin.heads wants 4, 1, 2 or 8, got 3"),
        (4, 44, "lin.negative wants False or True, got 1"),
        (
            5,
            5,
            "wanted a Core or Block, got lin(...), which is an Op; did you mean pre(lin(...))?",
        ),
        (
            6,
            22,
            "conv.padding='same' is not causal, which this place requires; use 'left'",
        ),
    ]


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("pre(lin(heads=True))", 15, "lin.heads wants 4, 1, 2 or 8, got True"),
        ("pre(lin(heads=4.0))", 15, "lin.heads wants 4, 1, 2 or 8, got 4.0"),
        ("pre(lin(heads=-4))", 15, "lin.heads wants 4, 1, 2 or 8, got -4"),
        ("pre(lin(erase='bta'))", 15, "got 'bta'; did you mean 'beta'?"),
        ("pre(lin(erase=beta))", 15, "lin.erase wants a string: write erase='beta'"),
        ("pre(lin(erase=None))", 15, "got None"),
        ("pre(glu(ratio=2.6666666666666665))", 15, "did you mean 8/3?"),
        ("pre(glu(ratio=1/0))", 15, "got arithmetic: 1/0"),
        ("pre(glu(ratio=nan))", 15, "glu.ratio wants 8/3, 4 or 1/2, got nan"),
        ("pre(glu(ratio=1e999))", 15, "got 1e999"),
        ("pre(glu(ratio=-1e999))", 15, "got -1e999"),
        ("pre(glu(ratio=True/2))", 15, "got arithmetic: True/2"),
        ("pre(lin(heads=10**10**10))", 15, "got arithmetic: 10**10**10"),
        ("pre(lin(heads=0x" + "f" * 5000 + "))", 15, "lin.heads wants 4, 1, 2 or 8, got 0xfff"),
        ("pre(lin(heads=1" + "0" * 9000 + "))", 15, "a number of 9,001 digits"),
        ("pre(lin(heads=2, heads=2))", 18, "lin.heads is given twice; keep one"),
        ("pre(mirror(x=1))", 12, "mirror has no knob called 'x'; it has none"),
        ("pre()", 1, "pre wants 1 child, got 0: write pre(Op)"),
        ("pre(lin(), glu())", 1, "pre wants 1 child, got 2: write pre(Op)"),
        ("pre(lin(glu()))", 5, "lin wants no children, got 1: write lin()"),
        ("par(lin())", 1, "par wants at least 2 children, got 1: write par(Op, Op, ...)"),
        ("stack()", 1, "stack wants at least 1 child, got 0: write stack(Core, ...)"),
        (f"par({'lin(),' * 5})", 1, "par wants at most 4 children, got 5"),
        ("pre(op=lin())", 5, "pre takes op by place: write pre(Op)"),
        ("repeat(pre(lin()))", 1, "repeat wants n first, a number: 2 or 3 or 4"),
        ("repeat(9, pre(lin()))", 8, "repeat.n wants 2, 3 or 4, got 9"),
        ("repeat(pre(lin()), n=2)", 20, "repeat takes n by place: write repeat(n, Core, ...)"),
        ("pre(*lin())", 5, "wanted an Op, written as a call, got a star argument *lin()"),
        ("pre(lin(), **lin)", 14, "a star argument is not part of the language"),
        ("pre(lin)", 5, "a node is written as a call: lin(...)"),
        ("pre(lambda: 1)", 5, "got a lambda lambda: 1"),
        ("pre(lin() if 1 else glu())", 5, "got a conditional expression"),
        ("pre(1 < 2)", 5, "got a comparison 1 < 2"),
        ("pre(f'{lin}')", 5, "got an f-string"),
        ("pre(os.lin())", 5, "got the call os.lin()"),
        ("pre(lin.x)", 5, "got attribute access lin.x"),
        ("pre([lin()])", 5, "got a list [lin()]"),
        ("pre(pre(lin()))", 5, "wanted an Op, got pre(...), which is a Block; use one of: gate"),
        ("pre(gate(lin(), attn()))", 17, "attn is not linear_time, which this place requires"),
        ("lm(lm(pre(lin())))", 4, "a Model stands only at the top: leave lm(...) out here"),
        ("pre(lin()", 4, "'(' was never closed"),
        ("pre(norm='rms', lin())", 22, "positional argument follows keyword argument"),
        ("pre(lin(heads='é', x=1))", 20, "lin has no knob called 'x'"),
    ],
)
def test_faults_say_what_was_wanted(text: str, column: int, message: str) -> None:
    found = faults(text)
    assert [(line, at) for line, at, said in found if message in said] == [(1, column)], found


HOSTILE = {
    "import": "__import__('os').system('true')",
    "a megabyte of brackets": "(" * 1_000_000,
    "a megabyte of calls": "pre(" * 250_000,
    "brackets": "(" * 20_000,
    "power tower": "10**10**10",
    "minus signs": "-" * 100_000 + "1",
    "fewer minus signs": "-" * 19_999 + "1",
    "nots": "not " * 4_999 + "1",
    "null byte": "pre(\0lin())",
    "only null": "\0",
    "lone surrogate": "pre('\ud800')",
    "a million digits": "9" * 1_000_000,
    "many digits": "9" * 20_000,
    "hexadecimal": "0x" + "f" * 19_000,
    "deep calls": "pre(" * 190 + ")" * 190,
    "deeper calls": "pre(" * 3_000 + ")" * 3_000,
    "wide call": "seq(" + "lin()," * 3_000 + ")",
    "attributes": "a" + ".a" * 9_000,
    "call chain": "f" + "()" * 9_000,
    "sum": "1" + "+1" * 9_000,
    "power chain": "a" + "**a" * 6_000,
    "conditionals": "1if 1else " * 1_900 + "1",
    "lambdas": "lambda:" * 2_800 + "1",
    "f-strings": "f'{" * 100,
    "bad escape": r"pre('\d')",
    "nan": "nan",
    "empty": "",
    "blank": " \n\t ",
    "statement": "x = pre(lin())",
    "two expressions": "pre(lin())\npre(lin())",
    "closing first": "lm)(pre(lin())",
    "comprehension": "[pre(lin()) for _ in range(10**9)]",
    "walrus": "(x := pre(lin()))",
    "ellipsis": "...",
    "bytes": "pre(lin(erase=b'beta'))",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_a_fault_and_nothing_else(text: str) -> None:
    for _, _, message in faults(text):
        assert 10 < len(message) < 1_000


def test_bounds_are_named() -> None:
    assert faults("(" * 20_001) == [
        (0, 0, "a genome has at most 20,000 characters, this text has 20,001")
    ]
    deep = "lm(" + "stack(" * 64 + "pre(lin())" + ")" * 65
    assert faults(deep) == [(0, 0, "a genome is at most 64 nodes deep and has at most 512")]
    wide = "seq(" + "pre(lin())," * 300 + ")"
    assert faults(wide) == [(0, 0, "a genome is at most 64 nodes deep and has at most 512")]
    assert faults("-" * 10_000 + "1") == [
        (0, 0, "nested too deeply; a genome is at most 64 nodes deep")
    ]


@given(st.text(max_size=60) | st.text(alphabet="lmpre(in)=',/.*4 \n\0", max_size=60))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_any_text_is_a_genome_or_a_genome_error(text: str) -> None:
    assert outcome(text)


@given(seeds, st.data())
@settings(max_examples=150, derandomize=True, deadline=None)
def test_a_damaged_genome_is_a_genome_or_a_genome_error(seed: int, data: st.DataObject) -> None:
    text = sampled(seed).text
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:at] + data.draw(st.sampled_from("()=,'/x0 ")) + text[at + 1 :]
    assert outcome(damaged)


def test_comments_and_line_ends_are_python_s() -> None:
    text = "# a genome\r\npre(  # a block\r\n  lin(),\r\n)\r\n"
    assert parse(text, TOY) == LM(core=Pre(op=Lin()))


@pytest.mark.parametrize(
    ("cls", "line"),
    [
        (Repeat, "repeat(n: 2|3|4, Core+)"),
        (Pre, "pre(Op, norm: 'rms'|'layer'|'none')"),
        (Par, "par(Op{2..4}, merge: 'sum'|'first')"),
        (Glu, "glu(ratio: 8/3|4|1/2)"),
    ],
)
def test_a_signature_shows_how_a_node_is_written(cls: type, line: str) -> None:
    assert signature(cls) == line

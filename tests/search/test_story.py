"""A story's own words stay its own, whatever the others say."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from palmette.records import TraceRow, TraceRung, TraceStep
from palmette.search.story import story
from palmette.testing.example_records import example_hash, example_thought
from tests.search.test_quoting import HOSTILE

READER = MarkdownIt("commonmark")
OURS = {"heading", "paragraph", "bullet_list", "ordered_list", "list_item", "blockquote"}
LEAVES = {"inline", "text", "softbreak", "code_inline", "fence", "strong_open", "strong_close"}


def told(said: str, prompts: bool) -> TraceRow:
    """A genome of one step, with the same words in every place that others can write to."""
    thought = example_thought().model_copy(
        update={
            "role": said,
            "model": said,
            "form": said,
            "cards": (said,),
            "faults": (said, said),
            "answer": said,
            "content": {"said": said},
        }
    )
    rung = TraceRung(
        rung="1", trials=(1, 2, 5), states={"failed": 3}, learning_rate=None, score=None,
        seeds=None, estimate=None, low=None, high=None, reasons=(said,),
    )  # fmt: skip
    step = TraceStep(
        genome=example_hash("a"), expression=said, role="found", name=None, parents=(),
        proposal=3, proposer="llm", edit="tune", edit_text=said, motivation=said,
        prediction=None, change=None, held=None, rungs=(rung,), origin=None, models=(said,),
        cards=(said,), context=(), rating=4.0, remarks=(said, said), lesson=said, tokens_in=1,
        tokens_out=2, usd=None, seconds=0.5, thoughts=(thought,) * 11, lost=(),
    )  # fmt: skip
    return TraceRow(
        campaign="first",
        genome=step.genome,
        expression=said,
        name=None,
        steps=(step,),
        prompts={thought.prompt or "": said} if prompts else None,
    )


@given(HOSTILE, st.booleans())
def test_nobody_writes_a_heading_a_link_or_a_page(said: str, prompts: bool) -> None:
    said = said.encode("utf-8", "backslashreplace").decode()  # as it comes out of a store
    tokens = READER.parse(story(told(said, prompts)))
    leaves = [leaf for token in tokens for leaf in (token, *(token.children or ()))]
    kinds = {leaf.type for leaf in leaves}
    assert kinds <= LEAVES | {f"{kind}_{end}" for kind in OURS for end in ("open", "close")}
    short = example_hash("a")[:8]
    titles = [after.content for at, after in pairwise(tokens) if at.type == "heading_open"]
    assert titles == [f"How `{short}` came about", f"0. tune `{short}`", "How it was thought of"]
    assert sum(token.type == "fence" for token in tokens) == 11 * (1 + prompts * (1 + bool(said)))
    assert sum(token.type == "strong_open" for token in leaves) == 11

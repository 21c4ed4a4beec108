"""A traced genome as Markdown: what people read of how it came about.

Our own words are prose; what a model, a file or a worker has said is quoted or code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from palmette.records import Prediction, Thought, TraceRow, TraceRung, TraceStep
from palmette.search.quoting import block, code, inline, quoted

DIGITS = 8  # of a hash
LONGEST_CONTENT = 1500  # characters of what was understood of an answer


def story(row: TraceRow) -> str:
    """The story of a genome, the root first, as Markdown (CommonMark)."""
    steps = len(row.steps) - 1
    named = f" ({inline(row.name)})" if row.name else ""
    lines = [
        f"# How {_short(row.genome)}{named} came about",
        "",
        f"{code(row.expression)} in campaign {code(row.campaign)}: "
        f"{steps} {'step' if steps == 1 else 'steps'} from the first genome of its line.",
    ]
    for number, step in enumerate(row.steps):
        lines += ["", *_step(number, step, row.prompts)]
    return "\n".join(lines) + "\n"


def _step(number: int, step: TraceStep, prompts: Mapping[str, str] | None) -> Iterator[str]:
    who = step.name if step.role != "found" else step.edit
    yield f"## {number}. {inline(who or 'a genome')} {_short(step.genome)}"
    yield ""
    yield f"- genome: {code(step.expression)}"
    if step.role != "found":
        yield f"- role: {step.role}"
    if step.proposer:
        yield f"- proposed by {code(step.proposer)}{_asked(step)}, proposal {step.proposal}"
    if step.edit_text:
        yield f"- edit: {code(step.edit_text)}"
    if len(step.parents) > 1:
        others = ", ".join(map(_short, step.parents[1:]))
        yield f"- it also comes from {others}"
    yield from _context(step)
    if told := _predicted(step.prediction, step.change, step.held):
        yield f"- {told}"
    yield from map(_rung, step.rungs)
    for reason in dict.fromkeys(reason for rung in step.rungs for reason in rung.reasons):
        yield f"- a trial failed: {inline(reason)}"
    yield from _said("Why", step.motivation)
    yield from _review(step)
    yield from _said("Lesson", step.lesson)
    if step.thoughts:
        yield from ("", "### How it was thought of", "")
        for place, thought in enumerate(step.thoughts, start=1):
            yield from _thought(place, thought, place - 1 in step.lost, prompts)


def _asked(step: TraceStep) -> str:
    if not step.models:
        return ""
    money = "" if step.usd is None else f", {step.usd:.4f} US dollars"
    return (
        f" with {', '.join(map(code, step.models))} ({step.tokens_in:,} tokens in, "
        f"{step.tokens_out:,} out, {step.seconds:.1f} s{money})"
    )


def _context(step: TraceStep) -> Iterator[str]:
    if step.origin:
        yield f"- origin of the idea: {step.origin}"
    if step.cards:
        yield f"- cards it was shown: {', '.join(map(code, step.cards))}"
    if step.context:
        yield f"- genomes it was shown: {', '.join(map(_short, step.context))}"


def _predicted(promise: Prediction | None, change: float | None, held: bool | None) -> str | None:
    happened = "nothing was measured" if change is None else f"measured {change:+.4f}"
    if promise is None:
        return None if change is None else f"first rung: {happened} against the step before"
    where = {True: ": inside the interval", False: ": outside the interval", None: ""}[held]
    grounds = f", from {promise.observations} earlier edits" if promise.observations else ""
    return (
        f"first rung: predicted {promise.change:+.4f} [{promise.low:+.4f}, {promise.high:+.4f}]"
        f"{grounds}; {happened}{where}"
    )


def _rung(rung: TraceRung) -> str:
    trials = f"trial {rung.trials[0]}" if len(rung.trials) == 1 else _span(rung.trials)
    states = ", ".join(f"{count} {state}" for state, count in sorted(rung.states.items()))
    told = f"- rung {inline(rung.rung)} ({trials}: {states}): "
    if rung.score is None:
        return told + "no score"
    told += f"score {rung.score:.4f} at rate {rung.learning_rate:g}, "
    told += "1 seed" if rung.seeds == 1 else f"{rung.seeds} seeds"
    if rung.estimate is None:
        return told
    return told + f"; estimate {rung.estimate:.4f} [{rung.low:.4f}, {rung.high:.4f}]"


def _span(trials: tuple[int, ...]) -> str:
    first, last = min(trials), max(trials)
    if last - first + 1 == len(trials):
        return f"trials {first} to {last}"
    return "trials " + ", ".join(map(str, trials))


def _said(title: str, text: str | None) -> Iterator[str]:
    if text and text.strip():
        yield from ("", f"{title}:", "", quoted(text))


def _review(step: TraceStep) -> Iterator[str]:
    if step.rating is None and not step.remarks:
        return
    rated = "" if step.rating is None else f" (rating {step.rating:g})"
    yield from ("", f"Review{rated}:")
    for remark in step.remarks:
        yield from ("", quoted(remark))


def _thought(
    number: int, thought: Thought, lost: bool, prompts: Mapping[str, str] | None
) -> Iterator[str]:
    again = f", attempt {thought.attempt}" if thought.attempt > 1 else ""
    gone = ", lost when the campaign was interrupted" if lost else ""
    yield f"{number}. **{inline(thought.role)}**{again}: {thought.outcome}{gone}{_cost(thought)}"
    inset = " " * len(f"{number}. ")
    for fault in thought.faults:
        yield f"{inset}- {inline(fault)}"
    for title, told in _shown(thought, prompts):
        yield from ("", f"{inset}{title}:", "")
        yield from (inset + line if line else "" for line in told.split("\n"))


def _shown(thought: Thought, prompts: Mapping[str, str] | None) -> Iterator[tuple[str, str]]:
    """Blocks below a thought; what models were told and said only where prompts are wanted."""
    if prompts is not None:
        if thought.prompt and thought.prompt in prompts:
            yield "prompt", block(prompts[thought.prompt])
        if thought.answer:
            yield "answer", block(thought.answer)
    if thought.content:
        text = json.dumps(thought.content, indent=2, ensure_ascii=False)
        cut = text if len(text) <= LONGEST_CONTENT else f"{text[:LONGEST_CONTENT]} …"
        yield "understood" if thought.model else "found", block(cut, "json")


def _cost(thought: Thought) -> str:
    if thought.model is None:
        return ""
    form = f", held by {inline(thought.form)}" if thought.form else ""
    money = "" if thought.usd is None else f", {thought.usd:.4f} US dollars"
    return (
        f" ({code(thought.model)}{form}, {thought.tokens_in:,} tokens in, "
        f"{thought.tokens_out:,} out, {thought.seconds:.1f} s{money})"
    )


def _short(genome: str) -> str:
    return code(genome[:DIGITS])

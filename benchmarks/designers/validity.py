"""How many proposals are legal, by the form in which a model proposes, at equal tokens.

    python -m benchmarks.designers validity --form code text constrained repaired --count 100
    python -m benchmarks.designers validity --table

Each proposal may use 2,000 tokens, prompts and answers together. As long as one more answer fits, a
form whose proposal was not valid may try again: afresh, or, where the form is *told*, with what was
wrong. Proposal n has the same parent in every form. *Valid* is a proposal that is well typed (or
parses), is not its parent, and passes every gate of a causal layer or model that applies, executed.
Secondary figure: valid at the first answer. Rates have Wilson's 95 % intervals.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.designers import code, language
from benchmarks.designers.form import PARENTS, Form
from benchmarks.designers.shared import add_options, append, read, share, spread
from palmette.designer.connect import connect
from palmette.designer.endpoint import Answer, CallError, Endpoint, Request
from palmette.designer.money import Ledger
from palmette.designer.session import Session, StepError, Studio
from palmette.records import DesignerConfig, Thought

BUDGET = 2000  # tokens of a proposal, prompts and answers together
TRIES = 20  # at most, whatever is left
CONTEXT = 2048  # tokens that the smallest model can read
FORMS = {
    form.name: form
    for form in (code.FORM, *language.FORMS, replace(code.FORM, name="code-told", told=True))
}
REASONS = (  # the first pattern that the first fault holds names it
    ("does not parse", r"does not parse|SyntaxError|never closed|not a call such as|no JSON"),
    ("no class, no expression", r"there is no (class|expression)|defines no torch.nn.Module"),
    ("the parent again", r"parent again|changes nothing"),
    ("a node that is not there", r"no node is called"),
    ("fails a gate", r"^gate "),
    ("does not run", r"^idea\.py"),
)
PATHS = re.compile(r"/\S*/(?=site-packages/|lib/python)")  # a machine's own


@dataclass
class Capped:
    """An endpoint that answers as long as one more answer is sure to fit into the budget."""

    endpoint: Endpoint
    spent: int = 0

    def models(self) -> tuple[str, ...]:
        return self.endpoint.models()

    def ask(self, model: str, request: Request) -> Answer:
        if self.spent + request.tokens + request.most_tokens > BUDGET:
            raise CallError("over budget", f"{BUDGET} tokens are spent")
        answer = self.endpoint.ask(model, request)
        self.spent += answer.tokens_in + answer.tokens_out
        return answer

    def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        return self.endpoint.embed(model, texts)

    def close(self) -> None:
        self.endpoint.close()


def propose(form: Form, number: int, endpoint: Endpoint, model: str) -> dict[str, Any]:
    """One proposal within the budget, and all that happened on the way."""
    parent = list(PARENTS)[number % len(PARENTS)]
    config = DesignerConfig(
        models=(model,),
        context_tokens=CONTEXT,
        answer_tokens=form.most_tokens,
        retries=TRIES if form.told else 0,
    )
    capped = Capped(endpoint)
    rng = random.Random(f"{form.name}/{number}")
    session = Session(Studio(capped, config, Ledger()), number, form.name, model, rng)
    valid = None
    for _ in range(1 if form.told else TRIES):
        messages, shape = form.messages(parent), form.shape(parent)
        try:
            valid = session.ask("researcher", messages, lambda t: form.read(t, parent), shape)
            break
        except StepError as error:
            if error.call and error.call.kind == "over budget":
                break
            if error.call:
                raise
    attempts = [described(thought) for thought in session.thoughts if thought.tokens_out]
    return {
        "form": form.name,
        "number": number,
        "model": model,
        "parent": parent,
        "valid": valid is not None,
        "first": bool(attempts) and not attempts[0]["faults"],
        "tokens": capped.spent,
        "proposal": valid,
        "attempts": attempts,
    }


def described(thought: Thought) -> dict[str, Any]:
    """What a row keeps of one answer; without faults it was valid."""
    return {
        "tokens_in": thought.tokens_in,
        "tokens_out": thought.tokens_out,
        "form": thought.form,
        "seconds": round(thought.seconds, 2),
        "faults": [PATHS.sub("", fault)[:200] for fault in thought.faults[:3]],
        "answer": PATHS.sub("", thought.answer or "")[:200],
    }


def reason(faults: Sequence[str]) -> str:
    """The kind of the first fault that says what is wrong, besides that the answer was cut."""
    text = next((fault for fault in faults if "was cut" not in fault), " ".join(faults))
    return next((name for name, pattern in REASONS if re.search(pattern, text)), "ill typed")


def table(rows: list[dict[str, Any]]) -> str:
    """A line a form, and under it what its answers that were not valid failed by."""
    lines = [f"{'form':<14}{'valid':>25}{'at the first answer':>25}  answers   tokens (10 to 90 %)"]
    for name in FORMS:
        mine = [row for row in rows if row["form"] == name]
        if not mine:
            continue
        valid, first = (sum(row[key] for row in mine) for key in ("valid", "first"))
        tries = sum(len(row["attempts"]) for row in mine) / len(mine)
        lines.append(
            f"{name:<14}{share(valid, len(mine)):>25}{share(first, len(mine)):>25}"
            f"{tries:>9.1f}   {spread([row['tokens'] for row in mine])}"
        )
        faults = [one["faults"] for row in mine for one in row["attempts"] if one["faults"]]
        why = Counter(map(reason, faults))
        different = len({row["proposal"] for row in mine if row["valid"]})
        lines.append(f"{'':14}{len(mine)} proposals, {different} different valid ones")
        lines += [f"{count:18d}  {text}" for text, count in why.most_common()]
    return "\n".join(lines)


def main(given: list[str]) -> int:
    parser = argparse.ArgumentParser("validity", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--form", nargs="+", choices=FORMS, default=list(FORMS)[:4])
    parser.add_argument("--count", type=int, default=100, help="proposals of each form")
    add_options(parser, "designers_validity.jsonl")
    options = parser.parse_args(given)
    rows = read(options.results)
    if not options.table:
        endpoint, served = connect([options.model] if options.model else [])
        done = {(row["form"], row["number"]) for row in rows}
        for number in range(options.count):
            for name in options.form:
                if (name, number) not in done:
                    row = propose(FORMS[name], number, endpoint, served[0])
                    append(options.results, row)
                    rows.append(row)
                    print(name, number, row["valid"], row["tokens"], file=sys.stderr, flush=True)
    print(table(rows))
    return 0

"""The engineer: writes the layer that an idea needs and the language lacks, and mends it.

It answers with one Python file. What is no Python is told by its line; what is, goes to `invent`,
which puts it to the gates and to the contract of primitives behind walls and says everything that
is wrong. Faults go back to the model, which answers again, as often as the campaign's retries
allow.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import replace

from palmette.designer.endpoint import Message, tokens
from palmette.designer.plain import one_line
from palmette.designer.scene import Scene, quoted
from palmette.designer.session import Session, UnreadableError, prompt_tokens
from palmette.model.stranger.restraint import LARGEST_BYTES
from palmette.model.stranger.source import StrangerError
from palmette.records import Stranger

IDEA = 1200  # characters
DECLINING = re.compile(r"\s*(I('m| am) sorry|I can(no|')t|I (am|'m) (not able|unable))\b", re.I)
FENCED = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
CODE = re.compile(r"^(import|from|class|@|\"\"\"|#)", re.MULTILINE)

CONTRACT = """\
You write one layer of a neural network as a Python file.
- It holds one torch.nn.Module class, and modules that this class is made of, if any.
- The constructor takes `width` and nothing else without a default. Any multiple of 16 must do.
- forward(x) maps features x [b t d], d = width, to features [b t d]: the same shape and dtype, \
for every b and t, t = 1 included.
- It is causal: y[:, i] depends on x[:, :i + 1] alone.
- A sequence never depends on the others of its batch, nor on earlier calls: no state is kept.
- No randomness, no dropout. Every parameter gets a gradient. Outputs stay finite.
- It imports torch, math and typing alone. It opens no file and starts nothing. It assigns to \
attributes of itself alone.
- No norm and no residual connection around it: they are there already. A loop over t is allowed, \
and slow.
Every one of these rules is executed as a test.

An example:

```python
import torch
from torch import nn


class GatedAverage(nn.Module):
    \"\"\"A decaying average of the past, gated by the present.\"\"\"

    def __init__(self, width):
        super().__init__()
        self.inner = nn.Linear(width, 2 * width, bias=False)
        self.decay = nn.Parameter(torch.tensor(3.0))
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x):
        value, gate = self.inner(x).chunk(2, dim=-1)
        at = torch.arange(x.shape[1], device=x.device)
        lag = (at[:, None] - at).clamp(min=0)
        weights = torch.sigmoid(self.decay) ** lag * (at[:, None] >= at)
        return self.out((weights @ value) * torch.sigmoid(gate))
```"""
TASK = "Write the file for this idea. Answer with the file alone, in a ```python block."


def engineer(
    session: Session,
    scene: Scene,
    idea: str,
    number: int,
    invent: Callable[[str, int], Stranger],
) -> Stranger:
    """The layer that a model writes for an idea, once it has passed every check.

    `idea` is what the language lacks, in the words of whoever had it. `invent(source, number)`
    raises `StrangerError` with everything that is wrong with a file. Every attempt is a thought of
    the session, with its faults or with its file and gates.

    Raises `StepError` if no file passes within the retries.
    """
    wanted = f"The idea:\n{quoted(idea, IDEA)}\n\n{TASK}"
    room = prompt_tokens(session.studio.config) - tokens(CONTRACT, wanted)
    # Cards and the genome alone: the language is of no use to whoever writes torch.
    told = replace(scene, language="", ancestors=(), siblings=(), best=()).told(room)
    return session.ask(
        "engineer",
        (Message("system", CONTRACT), Message("user", f"{told.facts}\n\n{wanted}")),
        lambda text: _accepted(text, number, invent),
        cards=told.card_names,
        genomes=told.hashes,
        content=_content,
    )


def code_of(text: str) -> str:
    """The file in an answer: the longest fenced block, else everything from the first line of code.

    Raises `UnreadableError` if there is none, if it is no Python, or if the answer is too large to
    be looked at.

    >>> code_of("Here it is:\\n```python\\nimport torch\\n```\\nIt is causal.")
    'import torch\\n'
    """
    if len(text) > LARGEST_BYTES:
        size = f"{len(text):,} characters"
        raise UnreadableError([f"the answer has {size}; a file has at most {LARGEST_BYTES:,}"])
    if blocks := FENCED.findall(text):
        source = str(max(blocks, key=len))
    elif found := CODE.search(text):
        source = text[found.start() :]
    else:
        declined = DECLINING.match(text) is not None
        raise UnreadableError(["there is no Python file in the answer"], refused=declined)
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnreadableError([_no_python(source, error)]) from error
    return source


def _accepted(text: str, number: int, invent: Callable[[str, int], Stranger]) -> Stranger:
    try:
        return invent(code_of(text), number)
    except StrangerError as error:
        raise UnreadableError([one_line(fault, 600) for fault in error.faults]) from error


def _no_python(source: str, error: Exception) -> str:
    line = getattr(error, "lineno", None)
    lines = source.splitlines()
    shown = f" ({one_line(lines[line - 1], 100)})" if line and line <= len(lines) else ""
    where = f"line {line}{shown}" if line else "the file"
    return f"{where} is not Python: {getattr(error, 'msg', None) or one_line(str(error), 100)}"


def _content(stranger: Stranger) -> dict[str, object]:
    """What is kept of an accepted file for people; its text is kept with the campaign."""
    verdicts = {result.gate: result.passed for result in stranger.gates}
    return {"file": stranger.file, "node": stranger.name, "class": stranger.cls, "gates": verdicts}

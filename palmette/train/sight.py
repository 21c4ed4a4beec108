"""Which models may be trained on which suites: whoever looks ahead must not find the answers."""

from __future__ import annotations

from palmette.errors import UserError
from palmette.grammar.genome import Genome
from palmette.grammar.node import effects
from palmette.grammar.types import Effect
from palmette.tasks import Suite


def require_honest(genome: Genome, suite: Suite) -> None:
    """Refuses a model that sees the whole sequence on tasks whose inputs hold the answers.

    Raises `UserError`.

    >>> import palmette
    >>> from palmette.tasks import suite
    >>> require_honest(palmette.parse("seq2seq(pre(mlp()))"), suite("sudoku"))
    """
    leaking = [task.name for task in suite.tasks if not task.bidirectional]
    if leaking and Effect.CAUSAL not in effects(genome.root):
        raise UserError(
            f"{genome.root.name}(...) sees the whole sequence, and the inputs of "
            f"{', '.join(leaking)} hold the answers that come later; choose a suite without "
            "them, such as sudoku, or a causal model, such as lm(...)"
        )

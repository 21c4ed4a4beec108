"""Structured against free-form: what random changes of code and of genomes are worth.

    python benchmarks/freeform.py --attempts 300

Both arms change the same parents, the architectures of the atlas. The free-form arm makes one
random edit of the syntax tree of the parent's exported PyTorch file, in a line that runs (a
constant, an operator, a name in scope, a function or method, a statement deleted, doubled or moved,
an expression copied from elsewhere in the function); the structured arm makes one typed edit of its
genome. Each result goes the same way in a process of its own: does it parse, does it build and run
forward and backward, does it compute something else than its parent, does it pass every gate that a
causal model has to pass.
Intervals are 95 % (Wilson). Results are lines of a file; what is there is not run again.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

from scipy.stats import binomtest

import palmette
from palmette.gates import Subject, check
from palmette.grammar import Genome, edit
from palmette.grammar.node import effects
from palmette.grammar.types import Effect
from palmette.model import atlas, build_at
from palmette.model.export import source
from palmette.ops._base import Place

STAGES = ("parses", "builds and runs", "changes what is computed", "passes every gate")
SECONDS = 120.0  # of one attempt
WIDTH, DEPTH, VOCABULARY, CONTEXT = 32, 2, 32, 2048
KINDS = ("constant", "operator", "name", "function", "delete", "double", "move", "copy")
METHODS = (
    *("sum", "mean", "cumsum", "exp", "tanh", "sigmoid", "relu", "softmax", "sort", "flip", "roll"),
    *("square", "abs", "cummax", "transpose", "reshape", "flatten", "norm"),
)
BINARY = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.MatMult, ast.Pow)


Change = tuple[int, Callable[[], object]]  # the line that it is in, and what makes it


def parents() -> list[str]:
    """The causal architectures of the atlas, those that cost little first."""
    return [name for name in atlas.names() if Effect.CAUSAL in effects(atlas.load(name).root)]


def place() -> Place:
    """The one small size at which everything is tried."""
    return Place(width=WIDTH, depth=DEPTH, hidden=1.0, vocabulary=VOCABULARY, context=CONTEXT)


def live_lines(text: str) -> set[int]:
    """The lines that run when the model is made, run forward and backward."""
    import torch

    lines: set[int] = set()

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename != "parent.py":
            return None
        lines.add(frame.f_lineno)
        return trace

    space: dict[str, Any] = {"__name__": "parent"}
    exec(compile(text, "parent.py", "exec"), space)
    sys.settrace(trace)
    try:
        space["model"]()(torch.zeros(1, 63, dtype=torch.long)).sum().backward()
    finally:
        sys.settrace(None)
    return lines


def mutated(text: str, kind: str, rng: random.Random) -> str:
    """The file with one random edit of this kind in a line that runs."""
    tree = ast.parse(text)
    live = live_lines(text)
    functions = [
        part
        for part in ast.walk(tree)
        if isinstance(part, ast.FunctionDef) and part.name != "model"
    ]
    changes = [
        (line, change)
        for function in functions
        for line, change in CHANGES[kind](function, rng)
        if line in live
    ]
    rng.choice(changes)[1]()
    return ast.unparse(ast.fix_missing_locations(tree))


def constants(function: ast.FunctionDef, rng: random.Random) -> Iterator[Change]:
    for part in ast.walk(function):
        if isinstance(part, ast.Constant) and type(part.value) in (int, float):
            value = part.value
            new = rng.choice([value + 1, value - 1, 2 * value, value / 2, -value, 0])
            yield (
                part.lineno,
                lambda part=part, new=new: setattr(part, "value", type(part.value)(new)),
            )


def operators(function: ast.FunctionDef, rng: random.Random) -> Iterator[Change]:
    for part in ast.walk(function):
        if isinstance(part, ast.BinOp):
            others = [op for op in BINARY if not isinstance(part.op, op)]
            new = rng.choice(others)()
            yield part.lineno, lambda part=part, new=new: setattr(part, "op", new)


def names(function: ast.FunctionDef, rng: random.Random) -> Iterator[Change]:
    found = [part for part in ast.walk(function) if isinstance(part, ast.Name)]
    scope = sorted({part.id for part in found} | {arg.arg for arg in function.args.args})
    for part in found:
        others = [name for name in scope if name != part.id]
        if isinstance(part.ctx, ast.Load) and others:
            new = rng.choice(others)
            yield part.lineno, lambda part=part, new=new: setattr(part, "id", new)


def functions(function: ast.FunctionDef, rng: random.Random) -> Iterator[Change]:
    for part in ast.walk(function):
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute):
            new = rng.choice([name for name in METHODS if name != part.func.attr])
            yield part.lineno, lambda part=part.func, new=new: setattr(part, "attr", new)


def blocks(function: ast.FunctionDef) -> Iterator[list[ast.stmt]]:
    for part in ast.walk(function):
        for field in ("body", "orelse"):
            held = getattr(part, field, None)
            if isinstance(held, list) and held and isinstance(held[0], ast.stmt):
                yield held


def deletions(function: ast.FunctionDef, rng: random.Random) -> Iterator[Change]:
    for block in blocks(function):
        for i, statement in enumerate(block):
            if not _is_docstring(statement):
                yield statement.lineno, lambda block=block, i=i: block.__setitem__(i, ast.Pass())


def doublings(function: ast.FunctionDef, rng: random.Random) -> Iterator[Change]:
    for block in blocks(function):
        for i, statement in enumerate(block):
            if not _is_docstring(statement) and not isinstance(statement, ast.Return):
                yield (
                    statement.lineno,
                    lambda block=block, i=i: block.insert(i, copy.deepcopy(block[i])),
                )


def moves(function: ast.FunctionDef, rng: random.Random) -> Iterator[Change]:
    for block in blocks(function):
        for i in range(len(block) - 1):
            if not _is_docstring(block[i]):
                yield block[i].lineno, lambda block=block, i=i: block.insert(i, block.pop(i + 1))


def copies(function: ast.FunctionDef, rng: random.Random) -> Iterator[Change]:
    """An expression replaced by another of the function, as subtree crossover does."""
    pool = [
        part
        for part in ast.walk(function)
        if isinstance(part, ast.BinOp | ast.Call | ast.Subscript) and hasattr(part, "lineno")
    ]
    for part in ast.walk(function):
        for field, held in ast.iter_fields(part):
            if isinstance(held, ast.BinOp | ast.Call) and len(pool) > 1:
                new = copy.deepcopy(rng.choice([one for one in pool if one is not held]))
                yield held.lineno, lambda part=part, field=field, new=new: setattr(part, field, new)


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


CHANGES: dict[str, Callable[[ast.FunctionDef, random.Random], Iterator[Change]]] = {
    "constant": constants,
    "operator": operators,
    "name": names,
    "function": functions,
    "delete": deletions,
    "double": doublings,
    "move": moves,
    "copy": copies,
}


def attempt(arm: str, number: int) -> dict[str, Any]:
    """One change and how far it comes; runs in a process of its own."""
    import torch

    torch.set_num_threads(1)
    rng = random.Random(f"{arm}/{number}")
    name = rng.choice(parents())
    genome = atlas.load(name)
    told: dict[str, Any] = {"parent": name, "stage": None}
    if arm == "free-form":
        told["kind"] = rng.choice(KINDS)
        text = mutated(source(genome, place(), "w.pt"), told["kind"], rng)
        try:
            code = compile(text, "freeform.py", "exec")
        except (SyntaxError, ValueError) as error:
            return told | {"why": f"{type(error).__name__}: {error}"}
    else:
        edited = edit(genome.root, palmette.language(), rng)
        told["kind"] = edited.kind
        child = Genome(edited.node)
    told["stage"] = "parses"
    torch.manual_seed(0)
    try:
        if arm == "free-form":
            space: dict[str, Any] = {"__name__": "freeform"}
            exec(code, space)
            make = space["model"]
        else:
            make = lambda: build_at(child, place(), seed=0)  # noqa: E731

        def seeded() -> torch.nn.Module:
            torch.manual_seed(0)
            model: torch.nn.Module = make()
            return model

        subject = Subject(
            make=seeded,
            takes="ids",
            width=WIDTH,
            vocabulary=VOCABULARY,
            promises=frozenset({Effect.CAUSAL}),
        )
        model = subject.fresh(shaken=True)
        ids = subject.inputs(63)
        logits = model(ids)
        if list(logits.shape) != [2, 63, VOCABULARY]:
            return told | {"why": f"gives {list(logits.shape)}"}
        logits.square().mean().backward()
    except Exception as error:
        return told | {"why": f"{type(error).__name__}: {error}"[:200]}
    told["stage"] = "builds and runs"
    parent = Subject(
        make=lambda: build_at(genome, place(), seed=0),
        takes="ids",
        width=WIDTH,
        vocabulary=VOCABULARY,
    ).fresh(shaken=True)
    if torch.equal(parent(ids), logits):
        return told | {"why": "computes what its parent computes"}
    told["stage"] = "changes what is computed"
    failed = [result for result in check(subject) if result.passed is False]
    if failed:
        return told | {"why": f"{failed[0].gate}: {failed[0].detail}"[:200]}
    return told | {"stage": "passes every gate"}


def contained(arm: str, number: int) -> dict[str, Any]:
    """The attempt in a process that is killed when it takes too long."""
    context = multiprocessing.get_context("forkserver")
    mine, theirs = context.Pipe()
    process = context.Process(target=_report, args=(arm, number, theirs), daemon=True)
    process.start()
    theirs.close()
    result: dict[str, Any] = {"stage": None, "why": "crashed or took too long"}
    try:
        if mine.poll(SECONDS):
            result = mine.recv()
    except EOFError:
        pass
    process.kill()
    process.join()
    return {"arm": arm, "number": number, **result}


def _report(arm: str, number: int, pipe: Connection) -> None:
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123  until the process ends
    pipe.send(attempt(arm, number))


def share(count: int, total: int) -> str:
    """A share in per cent with its interval."""
    low, high = binomtest(count, total).proportion_ci(method="wilson")
    return f"{100 * count / total:5.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def table(rows: list[dict[str, Any]]) -> str:
    """How far each arm comes, and what the free-form arm fails by."""
    lines = []
    for arm in ("structured", "free-form"):
        mine = [row for row in rows if row["arm"] == arm]
        if not mine:
            continue
        lines.append(f"{arm}: {len(mine)} attempts")
        reached = [STAGES.index(row["stage"]) if row["stage"] else -1 for row in mine]
        for number, stage in enumerate(STAGES):
            lines.append(f"  {stage:<26}{share(sum(r >= number for r in reached), len(mine))}")
        why: dict[str, int] = {}
        for row in mine:
            if "why" in row:
                reason = row["why"].partition(":")[0]
                why[reason] = why.get(reason, 0) + 1
        for reason, count in sorted(why.items(), key=lambda item: -item[1])[:8]:
            lines.append(f"      {count:4d}  {reason}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--attempts", type=int, default=300, help="of each arm")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/freeform.jsonl"))
    options = parser.parse_args()
    options.results.parent.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    if options.results.exists():
        rows = [json.loads(line) for line in options.results.read_text().splitlines()]
    done = {(row["arm"], row["number"]) for row in rows}
    wanted = [
        (arm, number)
        for number in range(options.attempts)
        for arm in ("structured", "free-form")
        if (arm, number) not in done
    ]
    os.environ["OMP_NUM_THREADS"] = "1"
    multiprocessing.set_forkserver_preload(["palmette.gates", "palmette.model.export"])
    began = time.perf_counter()
    with ThreadPoolExecutor(options.processes) as pool:
        for row in pool.map(lambda pair: contained(*pair), wanted):
            rows.append(row)
            with options.results.open("a") as file:
                file.write(json.dumps(row) + "\n")
    print(table(rows))
    print(f"{len(wanted)} attempts in {time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

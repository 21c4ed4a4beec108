"""Does the language hold what it promises? Counts, on the real vocabulary.

    python benchmarks/grammar.py --count 100000
    python benchmarks/grammar.py --count 1000000 --meta 50000 --train 10000

The first makes that many samples, edits and grafts in turn and counts how many parse, type-check,
are canonical and print back to themselves. The second builds models of sampled genomes without
memory and counts their parameters. The third runs one forward and backward pass each, and looks for
values that are not finite and for parameters without a gradient. Offenders are printed; the exit
code is 1 if there are any.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from palmette.errors import PalmetteError
from palmette.grammar import (
    Genome,
    Language,
    Node,
    canonical,
    check,
    edit,
    graft,
    parse,
    sample_genome,
    unparse,
)
from palmette.grammar.types import Sort

# 127 tokens hold three pools of 32: below two a selector has nothing to choose from
VOCABULARY, LENGTH, BATCH, PARAMETERS = 64, 127, 2, 20_000


@dataclass
class Tally:
    """What one chunk of work found."""

    made: Counter[str] = field(default_factory=Counter)
    sizes: Counter[int] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def fault(self, kind: str, text: str) -> None:
        """Counts a broken promise and keeps the first few of a kind."""
        self.broken[kind] += 1
        if self.broken[kind] <= 3:
            self.examples.append(f"{kind}: {text}")

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.made + other.made,
            self.sizes + other.sizes,
            self.broken + other.broken,
            self.names + other.names,
            self.examples + other.examples,
            self.seconds + other.seconds,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=100_000, help="samples, edits and grafts")
    parser.add_argument("--meta", type=int, default=0, help="models to build without memory")
    parser.add_argument("--train", type=int, default=0, help="models to run forward and backward")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    broken = 0
    for what, work, count in (
        ("samples, edits and grafts", grammar, given.count),
        ("builds on the meta device", on_meta, given.meta),
        ("forward and backward passes", train, given.train),
    ):
        if count:
            start = time.perf_counter()
            tally = spread(work, count, given.seed, given.processes)
            print(f"{what}, seed {given.seed}: {dict(tally.made)}")
            if tally.sizes:
                mean = sum(n * k for n, k in tally.sizes.items()) / sum(tally.sizes.values())
                print(f"nodes: mean {mean:.1f}, most {max(tally.sizes)}")
            if tally.names:
                print(f"primitives seen: {dict(tally.names.most_common())}")
            print(f"{tally.seconds:.0f} s of work in {time.perf_counter() - start:.0f} s")
            print("\n".join([*tally.examples, f"broken promises: {dict(tally.broken) or 'none'}"]))
            broken += sum(tally.broken.values())
    return 1 if broken else 0


def spread(work: Callable[[int, int], Tally], count: int, seed: int, processes: int) -> Tally:
    """The work in chunks, each from a seed of its own, on several processes."""
    chunk = min(2000, -(-count // processes))
    sizes = [min(chunk, count - first) for first in range(0, count, chunk)]
    total = Tally()
    with ProcessPoolExecutor(processes) as pool:
        seeds = [1000 * seed + number for number in range(len(sizes))]
        for number, tally in enumerate(pool.map(work, sizes, seeds)):
            total += tally
            if number % 25 == 24:
                print(f"  {number + 1} of {len(sizes)} chunks", file=sys.stderr, flush=True)
    return total


def drawn(language: Language, rng: random.Random) -> Genome:
    """A random genome; every fourth under another model than the usual one."""
    others = [cls for cls in language.nodes if cls.sort is Sort.MODEL]
    model = rng.choice(others) if rng.random() < 0.25 else None
    return sample_genome(language, rng, model=model)


def grammar(count: int, seed: int) -> Tally:
    """A third each of samples, edits and grafts, and which promises they break."""
    from palmette.ops import language as real

    language, rng, tally = real(), random.Random(seed), Tally()
    start = time.perf_counter()
    current = drawn(language, rng).root
    for number in range(count):
        kind, root = step(language, rng, number, current)
        # A walk of thirty steps, then a fresh start, so that deep lineages are seen too.
        current = root if number % 30 else drawn(language, rng).root
        for fault in faults_of(root, language):
            tally.fault(fault, unparse(root))
        tally.made[kind] += 1
        nodes = [node.name for _, node in root.walk()]
        tally.sizes[len(nodes)] += 1
        tally.names.update(nodes)
    tally.seconds = time.perf_counter() - start
    return tally


def on_meta(count: int, seed: int) -> Tally:
    """Builds models of sampled genomes without memory: does the closed form count them?

    The first fifty of a chunk at a size that is fitted, the others at a drawn one.
    """
    import torch

    from palmette.model import build_at, cost, fit
    from palmette.ops import language as real
    from palmette.ops._base import Place

    torch.set_num_threads(1)
    language, rng, tally = real(), random.Random(seed), Tally()
    start = time.perf_counter()
    for number in range(count):
        genome = drawn(language, rng)
        place = Place(
            width=rng.randint(5, 70),
            depth=rng.randint(1, 4),
            hidden=rng.uniform(0.8, 1.25),
            vocabulary=VOCABULARY,
            context=LENGTH,
        )
        try:
            if number < 50:
                found = fit(genome, PARAMETERS, VOCABULARY, LENGTH)
                tally.made["fitted"] += 1
                tally.made["fitted within 2 %"] += found.fits
                place = found.place
            with torch.device("meta"):
                model = build_at(genome, place)
            wanted = cost(genome, place, 1).parameters
        except Exception as error:  # whatever a sampled genome raises is a finding here
            tally.fault(f"raises {type(error).__name__}", f"{error}\n    {genome}")
            continue
        tally.made["built"] += 1
        built = sum(parameter.numel() for parameter in model.parameters())
        if built != wanted:
            tally.fault("another number of parameters", f"{built}, not {wanted}: {genome} {place}")
    tally.seconds = time.perf_counter() - start
    return tally


def step(language: Language, rng: random.Random, number: int, current: Node) -> tuple[str, Node]:
    fresh = drawn(language, rng).root
    if number % 3 == 0:
        return "sample", fresh
    try:
        if number % 3 == 1:
            edited = edit(current, language, rng)
        else:
            edited = graft(current, fresh, language, rng)
    except ValueError:  # a donor that offers nothing new
        return "nothing to graft", current
    return edited.kind, edited.node


def faults_of(root: Node, language: Language) -> list[str]:
    """The promises that a genome breaks."""
    text = unparse(root)
    try:
        again = parse(text, language)
    except PalmetteError:
        return ["does not parse"]
    faults = {
        "does not type-check": bool(check(root, language)),
        "is not canonical": canonical(root) != root,
        "is another tree when read": again != root,
        "does not re-print": unparse(again) != text,
    }
    return [name for name, is_so in faults.items() if is_so]


def train(count: int, seed: int) -> Tally:
    """One forward and backward pass each of sampled genomes."""
    import torch

    from palmette.ops import language as real

    torch.set_num_threads(1)
    language, rng, tally = real(), random.Random(seed), Tally()
    start = time.perf_counter()
    for number in range(count):
        genome = drawn(language, rng)
        for fault in faults_in_training(genome, number):
            tally.fault(fault.partition(":")[0], f"{fault}\n    {genome}")
        tally.made["passes"] += 1
    tally.seconds = time.perf_counter() - start
    return tally


def faults_in_training(genome: Genome, seed: int) -> list[str]:
    """What is wrong with one pass over random ids."""
    import torch

    import palmette
    from palmette.ops._segments import unreached

    torch.manual_seed(seed)
    try:
        model = palmette.build(genome, params=PARAMETERS, vocab_size=VOCABULARY)
        ids = torch.randint(VOCABULARY, (BATCH, LENGTH + 1))
        logits = model(ids[:, :-1])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever a sampled genome raises is a finding here
        return [f"raises {type(error).__name__}: {error}"]
    faults = []
    spared = unreached(model)
    if logits.shape != (BATCH, LENGTH, VOCABULARY):
        faults.append(f"wrong shape: {tuple(logits.shape)}")
    if not torch.isfinite(logits).all():
        faults.append("logits not finite: some")
    for name, parameter in model.named_parameters():
        if name in spared:
            continue
        if parameter.grad is None:
            faults.append(f"no gradient: {name}")
        elif not torch.isfinite(parameter.grad).all():
            faults.append(f"gradient not finite: {name}")
        elif not parameter.grad.any():
            faults.append(f"gradient all zero: {name}")
    return faults


if __name__ == "__main__":
    sys.exit(main())

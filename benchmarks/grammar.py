"""Does the language hold what it promises? Counts, on the real vocabulary.

    python benchmarks/grammar.py --count 100000
    python benchmarks/grammar.py --count 0 --train 1000

The first makes that many samples, edits and grafts in turn and counts how many parse, type-check,
are canonical and print back to themselves. The second builds models of sampled genomes, runs one
forward and backward pass each, and looks for values that are not finite and for parameters without
a gradient. Offenders are printed; the exit code is 1 if there are any.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter

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

VOCABULARY, LENGTH, BATCH, PARAMETERS = 64, 63, 2, 20_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=100_000, help="samples, edits and grafts")
    parser.add_argument("--train", type=int, default=0, help="models to run forward and backward")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    from palmette.ops import language

    offenders = 0
    if given.count:
        offenders += grammar(language(), given.count, given.seed)
    if given.train:
        offenders += train(language(), given.train, given.seed)
    return 1 if offenders else 0


def grammar(language: Language, count: int, seed: int) -> int:
    """A third each of samples, edits and grafts; returns how many break a promise."""
    rng = random.Random(seed)
    made, sizes, broken = Counter[str](), Counter[int](), Counter[str]()
    making = checking = 0.0
    current = sample_genome(language, rng).root
    for number in range(count):
        start = time.perf_counter()
        kind, root = step(language, rng, number, current)
        # A walk of thirty steps, then a fresh start, so that deep lineages are seen too.
        current = root if number % 30 else sample_genome(language, rng).root
        between = time.perf_counter()
        for fault in faults_of(root, language):
            broken[fault] += 1
            if broken[fault] <= 5:
                print(f"{fault}: {unparse(root)}")
        making, checking = making + between - start, checking + time.perf_counter() - between
        made[kind] += 1
        sizes[sum(1 for _ in root.walk())] += 1
    print(f"{count:,} genomes, seed {seed}: {dict(made.most_common())}")
    print(f"nodes: mean {sum(n * k for n, k in sizes.items()) / count:.1f}, most {max(sizes)}")
    print(
        f"made in {making:.1f} s ({1e3 * making / count:.2f} ms each), checked in {checking:.1f} s"
    )
    print(f"broken promises: {dict(broken) or 'none'}")
    return sum(broken.values())


def step(language: Language, rng: random.Random, number: int, current: Node) -> tuple[str, Node]:
    fresh = sample_genome(language, rng).root
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


def train(language: Language, count: int, seed: int) -> int:
    """One forward and backward pass each; returns how many models are at fault."""
    import torch

    torch.set_num_threads(1)
    rng = random.Random(seed)
    seen: set[str] = set()
    offenders = Counter[str]()
    start = time.perf_counter()
    while len(seen) < count:
        genome = sample_genome(language, rng)
        if genome.hash in seen:
            continue
        seen.add(genome.hash)
        for fault in faults_in_training(genome, len(seen)):
            offenders[fault.partition(":")[0]] += 1
            print(f"{fault}\n    {genome}")
    seconds = time.perf_counter() - start
    print(f"{count:,} different genomes forward and backward in {seconds:.0f} s, seed {seed}")
    print(f"offenders: {dict(offenders) or 'none'}")
    return sum(offenders.values())


def faults_in_training(genome: Genome, seed: int) -> list[str]:
    """What is wrong with one pass over random ids."""
    import torch

    import palmette

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
    if logits.shape != (BATCH, LENGTH, VOCABULARY):
        faults.append(f"wrong shape: {tuple(logits.shape)}")
    if not torch.isfinite(logits).all():
        faults.append("logits not finite: some")
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            faults.append(f"no gradient: {name}")
        elif not torch.isfinite(parameter.grad).all():
            faults.append(f"gradient not finite: {name}")
        elif not parameter.grad.any():
            faults.append(f"gradient all zero: {name}")
    return faults


if __name__ == "__main__":
    sys.exit(main())

"""The genomes: the atlas, samples of the grammar, and neighbours of human designs.

They are drawn once and kept in `genomes.txt`, in an order in which any head of the list is a fair
sample of the whole.
"""

from __future__ import annotations

import random
from pathlib import Path

import palmette
from palmette.grammar.edit import edit
from palmette.grammar.genome import Genome
from palmette.grammar.sample import sample_genome
from palmette.ladder.scales import HUMAN_BASELINES, pocket
from palmette.model import atlas
from palmette.model.fingerprint import twins
from palmette.search.novelty import Screen, fingerprint_of
from palmette.tasks import VOCABULARY

FILE = Path("benchmarks/calibration/genomes.txt")
SAMPLES, NEIGHBOURS = 120, 40
CONTEXT = 256  # of the longest evaluation of any task
SEED = 6


def read() -> list[tuple[str, Genome]]:
    """Where each genome is from (`atlas:NAME`, `sample`, `edit:NAME`) and the genome."""
    lines = [line for line in FILE.read_text("utf-8").splitlines() if line]
    pairs = [line.split("\t") for line in lines]
    return [(origin, palmette.parse(text)) for origin, text in pairs]


def draw() -> None:
    """Draws the list and writes it. Samples and neighbours pass what a campaign's screen asks."""
    rng = random.Random(SEED)
    screen = Screen(pocket(), VOCABULARY, CONTEXT, [atlas.load(name) for name in HUMAN_BASELINES])
    named = [(f"atlas:{name}", atlas.load(name)) for name in atlas.names()]
    kept = [genome for _, genome in named]
    prints = [fingerprint_of(genome) for genome in kept]

    def admit(genome: Genome) -> bool:
        if genome in kept or screen.reason_against(genome, []):
            return False
        own = fingerprint_of(genome)
        if any(twins(own, other) for other in prints):
            return False
        kept.append(genome)
        prints.append(own)
        return True

    language = palmette.language()
    drawn: list[tuple[str, Genome]] = []
    while len(drawn) < SAMPLES:
        genome = sample_genome(language, rng)
        if admit(genome):
            drawn.append(("sample", genome))
    while len(drawn) < SAMPLES + NEIGHBOURS:
        name = rng.choice(HUMAN_BASELINES)
        root = atlas.load(name).root
        for _ in range(rng.randint(1, 3)):
            root = edit(root, language, rng).node
        genome = Genome(root)
        if admit(genome):
            drawn.append((f"edit:{name}", genome))
    everything = named + drawn
    rng.shuffle(everything)
    FILE.write_text("".join(f"{origin}\t{genome.text}\n" for origin, genome in everything), "utf-8")

"""The genomes of the made-up campaign: who came from whom, with a hidden quality each."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field

from palmette.records import Candidate, Prediction, Role

ROOT = "stack(pre(lin(erase='beta')), pre(glu()))"
BASELINES = {
    "gpt2": ("stack(pre(attn(), norm='layer'), pre(mlp(), norm='layer'))", -0.012),
    "llama": ("stack(pre(attn()), pre(glu()))", -0.004),
    "gated_deltanet": ("stack(pre(lin(decay='scalar', erase='beta')), pre(glu()))", 0.010),
    "mamba2": ("stack(pre(lin(decay='scalar')))", 0.006),
    "hybrid": ("every(4, pre(lin(decay='scalar', erase='beta')), pre(attn()))", 0.012),
}
LEAVES = (
    "mlp()",
    "glu()",
    "glu(ratio=4)",
    "attn()",
    "conv()",
    "lin(erase='beta')",
    "lin(decay='scalar', erase='beta')",
    "lin(decay='vector')",
    "par(attn(), lin(erase='beta'), merge='gate')",
    "gate(conv(), mlp())",
)
EDITS = {"tune": 0.001, "replace": 0.0, "insert": 0.002, "prune": -0.003, "graft": 0.001}
WHY = {
    "tune": "Tuning has paid 6 times in 14 so far; this knob has not been tried on this island.",
    "replace": "Another operator of the same sort at the place with the smallest first-rung gain.",
    "insert": "Deeper patterns have done better than shallow ones on this island.",
    "prune": "The part adds cost and the parent's score did not depend on it.",
    "graft": "Both parents lead their islands; the donor's subtree is of equal size.",
}


@dataclass(eq=False)
class Grown:
    """A candidate with its hidden quality and its trials."""

    candidate: Candidate
    quality: float
    blocks: tuple[str, ...]
    fails: str | None = None
    scores: dict[int, list[float]] = field(default_factory=dict)  # by rung, the chosen rate's

    @property
    def key(self) -> tuple[str, int]:
        return self.candidate.genome, self.candidate.replica


def grow(found: int, rng: random.Random) -> list[Grown]:
    people = [_human("deltanet", ROOT, 0.0, "root")]
    people += [_human(name, text, gain, "baseline") for name, (text, gain) in BASELINES.items()]
    alive, taken = [people[0]], {grown.candidate.genome for grown in people}
    while sum(grown.candidate.role == "found" for grown in people) < found:
        number = len(people) - 1 - len(BASELINES)
        if number % 10 == 9:
            people.append(_placebo(people[0], number // 10 + 1))
        parent = max(rng.sample(alive, min(4, len(alive))), key=lambda held: held.quality)
        kid = _child(parent, rng.choice(alive), number, rng)
        if kid.candidate.genome not in taken:
            taken.add(kid.candidate.genome)
            people.append(kid)
            if kid.fails is None:
                alive.append(kid)
    return people


def _child(parent: Grown, donor: Grown, number: int, rng: random.Random) -> Grown:
    kind = rng.choice(sorted(EDITS))
    blocks = list(parent.blocks)
    place = rng.randrange(len(blocks))
    wrap = rng.choice(("pre", "pre", "post", "sandwich"))
    if kind == "prune" and len(blocks) > 1:
        del blocks[place]
    elif kind == "insert" and len(blocks) < 4:
        blocks.insert(place, f"{wrap}({rng.choice(LEAVES)})")
    elif kind == "graft":
        blocks[place] = rng.choice(donor.blocks)
    else:
        blocks[place] = f"{wrap}({rng.choice(LEAVES)})"
    text = f"stack({', '.join(blocks)})"
    wobble = rng.gauss(EDITS[kind], 0.004)
    expected = EDITS[kind] + rng.gauss(0, 0.002)
    return Grown(
        Candidate(
            genome=digest(text),
            expression=text,
            role="found",
            proposal=number,
            proposer="evolution",
            island=number % 4,
            parents=tuple(
                dict.fromkeys(
                    [parent.candidate.genome]
                    + ([donor.candidate.genome] if kind == "graft" else [])
                )
            ),
            edit=kind,
            edit_text=f"block {place + 1}: {parent.blocks[place]} → {blocks[place % len(blocks)]}",
            motivation=WHY[kind],
            prediction=Prediction(
                change=expected, low=expected - 0.012, high=expected + 0.012, observations=number
            ),
            parameters=41_800 + rng.randrange(400),
            flops_forward=85_000 * (1 + 0.1 * len(blocks)),
            state_bytes=4_096 * len(blocks),
        ),
        parent.quality + wobble,
        tuple(blocks),
        fails=rng.choice([None] * 14 + ["diverged at 24576 tokens: loss is nan", "out of memory"]),
    )


def _human(name: str, text: str, gain: float, role: Role) -> Grown:
    return Grown(
        Candidate(
            genome=digest(text), expression=text, role=role, name=name,
            parameters=42_000, flops_forward=84_000.0, state_bytes=8_192,
        ),
        0.38 + gain,
        ("pre(lin(erase='beta'))", "pre(glu())"),
    )  # fmt: skip


def _placebo(root: Grown, number: int) -> Grown:
    update = {"role": "placebo", "replica": number, "name": f"placebo {number}"}
    return Grown(root.candidate.model_copy(update=update), root.quality, root.blocks)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

"""A made-up exam for tests and for looking at: `python -m tests.report.make_exam FILE`."""

from __future__ import annotations

import hashlib
import hmac
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from palmette.ladder.statistics import contrast
from palmette.records import (
    CanaryRow,
    CarryPoint,
    Claim,
    Contrast,
    Draw,
    Entry,
    Exam,
    ExamPlan,
    ExamRung,
    Hypothesis,
    League,
    LedgerRow,
    NullExams,
    PowerPoint,
    Price,
    Rate,
    Sat,
    Span,
    Spent,
    Verdict,
)
from palmette.report.exam import write_exam

SECRET = bytes(range(32))
KEY = hmac.new(SECRET, b"palmette sealed tasks", "sha256").hexdigest()[:16]
TASKS = ("brackets", "grids", "lorenz", "mazes", "rewriting")
HUMAN = {
    "gpt2": 0.30,
    "llama": 0.31,
    "deltanet": 0.33,
    "gated_deltanet": 0.36,
    "mamba2": 0.32,
    "hybrid": 0.37,
}
CONSTANT = ("deltanet", "gated_deltanet", "mamba2")
SIGMA = 0.012
GENOMES = {
    "3fa2c1d0": "lm(stack(pre(lin(erase='beta', decay='vector')), pre(glu(activation='gelu'))))",
    "b81e77aa": "lm(stack(pre(attn(window=64)), pre(lin(erase='beta')), pre(glu())))",
}
RUNGS = tuple(
    ExamRung(
        name=str(number + 1),
        parameters=42_000 * 2**number,
        tokens=tokens,
        batch_size=4,
        length=128,
        evaluation_tokens=16_384,
        seeds=12 if number == 2 else 4,
    )
    for number, tokens in enumerate((229_376, 360_448, 720_896))
)
ALPHAS = (0.0152, 0.0038, 0.0017)


def made_up_exam(
    lifts: Sequence[float] = (0.035, 0.0),
    tuned: bool = True,
    nulls: bool = True,
    broken: int = 0,
    state: str = "finished",
) -> Exam:
    """An exam of candidates whose endpoints are truly so much above the best baseline's.

    `broken` models fail the canary.
    """
    rng = random.Random(3)
    entries, truth = _entries(lifts, tuned)
    sat = tuple(_sat(entry, rung, truth[entry.label], rng) for entry in entries for rung in RUNGS)
    last = {one.label: one for one in sat if one.rung == RUNGS[-1].name}
    candidates = [entry for entry in entries if entry.role == "candidate"]
    asked: list[tuple[Entry, League, Claim]] = [(candidates[0], "open", "score")]
    asked.append((candidates[0], "constant-state", "score"))
    asked.append((candidates[-1], "open", "score"))
    hypotheses = tuple(
        Hypothesis(number=5 + n, candidate=entry.label, league=league, claim=claim, alpha=alpha)
        for n, ((entry, league, claim), alpha) in enumerate(zip(asked, ALPHAS, strict=True))
    )
    verdicts = tuple(_verdict(one, entries, last, sat) for one in hypotheses)
    placebos = tuple(
        _verdict(
            Hypothesis(number=0, candidate=e.label, league="open", claim="score", alpha=0.0152),
            entries,
            last,
            sat,
        )
        for e in entries
        if e.role == "placebo"
    )
    began = state == "running"
    return Exam(
        exam=2,
        campaign="main",
        state="running" if began else "finished",
        plan=_plan(entries, hypotheses),
        draw=Draw(
            number=1,
            commitment=hashlib.sha256(SECRET).hexdigest(),
            committed_at="2026-11-20T08:00:00+00:00",
            opened_at="2026-11-22T17:00:00+00:00",
            secret=SECRET.hex(),
        ),
        sat=() if began else sat,
        verdicts=() if began else verdicts,
        placebos=() if began else placebos,
        placebo_rate=None if began else Rate(happened=0, cases=7, bound=0.3482),
        nulls=_nulls(rng) if nulls and not began else None,
        canary=() if began else _canary(last, rng, broken),
        ledger=_ledger(hypotheses, () if began else verdicts),
        spent=Spent(trials=402, failed=3, worker_seconds=9_870.0),
    )


def _entries(lifts: Sequence[float], tuned: bool) -> tuple[tuple[Entry, ...], dict[str, float]]:
    truth: dict[str, float] = {}
    entries: list[Entry] = []

    def add(label: str, value: float, **fields: object) -> None:
        truth[label] = value
        common = {
            "label": label,
            "genome": hashlib.sha256(label.encode()).hexdigest(),
            "expression": f"lm(stack(pre({label.split()[0]}()), pre(glu())))",
            "parameters": 168_000,
            "flops_forward": 4.2e5,
            "flops_train": 9e11,
            "state_bytes": 18_432,
            "constant_state": True,
        }
        entries.append(Entry.model_validate({**common, **fields}))

    for number, lift in enumerate(lifts):
        label, text = list(GENOMES.items())[number]
        add(label, 0.37 + lift, role="candidate", expression=text, constant_state=number == 0)
    for name, value in HUMAN.items():
        constant = name in CONSTANT
        size = 18_432 if constant else 65_536
        kind = {"name": name, "baseline": name, "constant_state": constant, "state_bytes": size}
        add(name, value, role="baseline", **kind)
        if name == "deltanet":
            longer = {"stretch": 1.31, "matches": next(iter(GENOMES))}
            add(f"{name} x1.31", value + 0.01, role="baseline", **longer, **kind)
        if tuned:
            add(f"{name}, tuned", value + 0.008, role="tuned", **kind)
    add("Quince", HUMAN["hybrid"], role="placebo", replica=1, baseline="hybrid")
    return tuple(entries), truth


def _sat(entry: Entry, rung: ExamRung, truth: float, rng: random.Random) -> Sat:
    number = int(rung.name)
    value = truth - 0.05 * (3 - number)
    if entry.role == "candidate":
        value += 0.01 * (3 - number)
    seeds = tuple(range(1000 * number, 1000 * number + rung.seeds))
    tasks = {
        task: tuple(value + 0.15 * (n - 2) + rng.gauss(0, 2 * SIGMA) for _ in seeds)
        for n, task in enumerate(TASKS)
    }
    return Sat(
        label=entry.label,
        rung=rung.name,
        learning_rate=1.5e-2,
        seeds=seeds,
        scores=tuple(fmean(own) for own in zip(*tasks.values(), strict=True)),
        text_bits=tuple(2.61 - 0.5 * (truth - 0.35) + rng.gauss(0, 0.006) for _ in seeds),
        tasks=tasks,
    )


def _contrast(mine: Sat, other: Sat, of: str = "scores", sign: float = 1.0) -> Contrast:
    a, b = getattr(mine, of), getattr(other, of)
    found = contrast([sign * one for one in a], [sign * one for one in b], paired=False)
    assert found is not None
    return Contrast(
        candidate=mine.label,
        against=other.label,
        difference=Span(value=found.value, low=found.low, high=found.high),
        p=found.p,
        paired=False,
        correlation=found.correlation,
        seeds=len(a),
    )


def _verdict(
    hypothesis: Hypothesis, entries: Sequence[Entry], last: dict[str, Sat], sat: Sequence[Sat]
) -> Verdict:
    mine = last[hypothesis.candidate]
    rivals = [
        entry
        for entry in entries
        if entry.role in ("baseline", "tuned")
        and (hypothesis.league == "open" or entry.constant_state)
    ]
    contrasts = tuple(_contrast(mine, last[entry.label]) for entry in rivals)
    roles = {entry.label: entry.role for entry in entries}
    plain = [one for one in contrasts if roles[one.against] == "baseline"]
    p = max(one.p or 0.0 for one in plain)
    verified = p <= hypothesis.alpha
    beats = all(one.difference and one.difference.low > 0 for one in contrasts)
    hardest = min(plain, key=lambda one: one.difference.value if one.difference else 0.0)
    text = _contrast(mine, last[hardest.against], "text_bits")
    found = "beats" if verified else "is not shown to beat"
    value = hardest.difference
    assert value is not None
    return Verdict(
        hypothesis=hypothesis,
        verified=verified,
        kind=("structural" if beats else "tuning") if verified else None,
        p=p,
        look=2,
        seeds=12,
        contrasts=contrasts,
        text=text,
        text_holds=bool(text.difference and text.difference.high < 0.02),
        carry=_carry(hypothesis.candidate, hardest.against, sat),
        carries="carries" if verified else "not told",
        sentence=(
            f"{hypothesis.candidate} {found} every human baseline of the {hypothesis.league} "
            f"league. With 168,000 parameters and 720,896 tokens: {value.value:+.4f} "
            f"[{value.low:+.4f}, {value.high:+.4f}] on the sealed endpoint against "
            f"{hardest.against}, the closest."
        ),
    )


def _carry(label: str, against: str, sat: Sequence[Sat]) -> tuple[CarryPoint, ...]:
    by = {(one.label, one.rung): one for one in sat}
    return tuple(
        CarryPoint(
            rung=rung.name,
            against=against,
            advantage=_contrast(by[label, rung.name], by[against, rung.name]).difference,
        )
        for rung in RUNGS
    )


def _plan(entries: tuple[Entry, ...], hypotheses: tuple[Hypothesis, ...]) -> ExamPlan:
    return ExamPlan(
        campaign="main",
        draw=1,
        scale="pocket",
        suite=f"exam/{KEY}",
        suite_digest="ab" * 32,
        corpus="the standard library",
        numerics=1,
        kernel="native-packed",
        seed=0,
        rungs=RUNGS,
        learning_rates=(7e-3, 1.5e-2, 3e-2),
        rate_factor=2.0,
        extensions=2,
        looks=(6, 12),
        shares=(0.3, 0.7),
        q=0.05,
        paired=False,
        correlation=Span(value=0.08, low=-0.11, high=0.27),
        text_margin_bits=0.02,
        score_margin=0.01,
        efficiency=0.5,
        tuning_trials=33,
        entries=entries,
        hypotheses=hypotheses,
        price=Price(
            trials=486,
            worker_seconds=11_900.0,
            noise=0.017,
            noise_from="the calibration, 60 genomes at rung 3",
            seeds=12,
            detectable=0.0231,
            power=0.8,
            alpha=min(ALPHAS),
        ),
    )


def _nulls(rng: random.Random) -> NullExams:
    found = tuple(max(rng.random() for _ in range(4)) * rng.random() for _ in range(1200))
    happened = sum(p <= ALPHAS[0] / 8 for p in found)
    return NullExams(
        exams=1200,
        alpha=ALPHAS[0],
        rate=Span(value=happened / 1200, low=0.0031, high=0.0142),
        rate_bound=Rate(happened=happened, cases=1200, bound=0.0131),
        p=found,
        power=tuple(
            PowerPoint(
                candidate="9f3c21aa",
                effect=effect,
                rate=Span(value=rate, low=rate - 0.02, high=rate + 0.02),
            )
            for effect, rate in ((0.02, 0.14), (0.05, 0.81), (0.08, 0.97))
        ),
    )


def _canary(last: dict[str, Sat], rng: random.Random, broken: int) -> tuple[CanaryRow, ...]:
    rows = []
    for one in last.values():
        for seed, told in zip(one.seeds, one.scores, strict=True):
            gone = len(rows) < broken
            rows.append(
                CanaryRow(
                    label=one.label,
                    seed=seed,
                    told=told,
                    reloaded=None if gone else told,
                    fresh=None if gone else rng.gauss(-0.02, 0.006),
                    agrees=not gone,
                    differs=not gone,
                    reason="there is no file of its weights" if gone else None,
                )
            )
    return tuple(rows)


def _ledger(hypotheses: Sequence[Hypothesis], verdicts: Sequence[Verdict]) -> tuple[LedgerRow, ...]:
    earlier = [
        LedgerRow(
            number=n,
            exam=1,
            hypothesis=Hypothesis(
                number=n, candidate="09ab33f1", league="open", claim="score", alpha=0.03 / n
            ),
            p=0.2 * n,
            verified=False,
        )
        for n in range(1, 5)
    ]
    judged = {one.hypothesis.number: one for one in verdicts}
    own = [
        LedgerRow(
            number=one.number,
            exam=2,
            hypothesis=one,
            p=judged[one.number].p if one.number in judged else None,
            verified=judged[one.number].verified if one.number in judged else None,
        )
        for one in hypotheses
    ]
    return (*earlier, *own)


if __name__ == "__main__":
    write_exam(made_up_exam(), Path(sys.argv[1]))

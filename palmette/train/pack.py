"""A pack: trials that differ in seed, replica and learning rate alone, trained at once.

A step of 512 tokens has about a millisecond of arithmetic, and costs several to get to. The trials
of a sweep have one genome, one size and one suite, so their models are trained as one program
(`pack_program.py`): each with its own weights, data, learning rate, clip and loss. Where two read
the same sequences, these are drawn once.

A member's numbers do not depend on which the other members are, nor, where native operators take
the sums, on whether there are any; torch's own sums over tokens (in Griffin's gates, say) may
differ in the last bits between a pack of one and a larger one. They are not those of a trial on its
own, so packed trials have a kernel of their own in their keys (`ops.forms.PACKED`), also a pack of
one. A model that cannot be packed is trained on its own, and its result says so. Evaluation is of
each member by itself: its batches are large.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from palmette.errors import TrialError
from palmette.model import build_at
from palmette.ops.forms import PACKED
from palmette.records import CurvePoint, TrialResult, TrialSpec
from palmette.tasks import Streams
from palmette.train.batches import batches
from palmette.train.clock import Clock
from palmette.train.executor import Member, Tell
from palmette.train.loop import (
    Subject,
    examine,
    one_thread,
    prepare,
    report_steps,
    run_trial,
    schedule,
    step_count,
)
from palmette.train.pack_program import Program, UnpackableError
from palmette.train.seeding import weights_seed
from palmette.train.shelf import Shelf

MOST_TOKENS = 512  # a step and model; beyond, arithmetic is what takes the time
MOST_MEMBERS = 8
OWN = ("seed", "replica", "learning_rate")  # what members of a pack may differ in


@dataclass(frozen=True)
class Around:
    """What trials are run with: the text, what is recorded as the commit, kept sequences."""

    corpus: Streams | None = None
    commit: str | None = None
    shelf: Shelf | None = None


def run_pack(
    members: Sequence[Member],
    around: Around,
    tell: Tell = lambda key, point: None,
) -> Iterator[tuple[str, TrialResult | TrialError]]:
    """The key of each member with what it measured, or why it failed.

    Seconds of a result are the member's share: those of the whole pack over its size.

    Raises `PalmetteError` if a spec asks for what this version does not run, `OSError` if weights
    cannot be written.
    """
    specs = [_apart(member.spec) for member in members]
    try:
        ended = _together(members, specs, around, tell)
    except UnpackableError:
        for member, spec in zip(members, specs, strict=True):
            yield member.spec.key, _alone(member, spec, around, tell)
        return
    for member, one in zip(members, ended, strict=True):
        yield member.spec.key, one


def run_any(
    member: Member,
    around: Around,
    tell: Tell = lambda key, point: None,
) -> TrialResult:
    """One trial, packed by itself if its kernel says so. Raises as `run_trial` does."""
    if member.spec.kernel not in PACKED:
        return _trial(member, member.spec, around, tell)
    ((_, ended),) = run_pack([member], around, tell)
    if isinstance(ended, TrialError):
        raise ended
    return ended


def packable(specs: Sequence[TrialSpec]) -> bool:
    """Whether these trials may be given to one pack."""
    return len(specs) <= MOST_MEMBERS and all(
        spec.kernel in PACKED
        and spec.batch_size * spec.length <= MOST_TOKENS
        and _alike(spec) == _alike(specs[0])
        for spec in specs
    )


@dataclass
class Course:
    """The way of one member through training."""

    points: list[CurvePoint] = field(default_factory=list)
    total: float = 0.0  # of the losses since the last point
    failed: TrialError | None = None


def _together(
    members: Sequence[Member],
    specs: Sequence[TrialSpec],
    around: Around,
    tell: Tell,
) -> list[TrialResult | TrialError]:
    if not packable([member.spec for member in members]):
        raise UnpackableError("these trials are not of one genome and rung, or too large")
    with one_thread():
        clock = Clock()
        subject = prepare(specs[0])
        place, kernel = subject.sized.place, specs[0].kernel
        models = [build_at(subject.genome, place, weights_seed(spec), kernel) for spec in specs]
        clock.lap("build")
        for model in models:
            model.train()
        program = Program(models)
        clock.lap("build")
        keys = [member.spec.key for member in members]
        courses = train(program, specs, keys, subject, around, clock, tell)
        ended = [
            course.failed
            or _examined(subject, program, number, model, members[number], course, around, clock)
            for number, (course, model) in enumerate(zip(courses, models, strict=True))
        ]
        return _shared(ended, clock, members)


def train(
    program: Program,
    specs: Sequence[TrialSpec],
    keys: Sequence[str],
    subject: Subject,
    around: Around,
    clock: Clock,
    tell: Tell,
) -> list[Course]:
    """Trains the program's models in place; a member that diverges ends and the others go on.

    Raises `UnpackableError` if the program turns out not to be what its models are.
    """
    optimizer = program.optimizer()
    steps = step_count(specs[0])
    reports = report_steps(steps)
    courses = [Course() for _ in specs]
    began, counted = time.perf_counter(), 0
    readers = [(spec.seed, spec.replica) for spec in specs]
    streams = {
        reader: batches(spec, subject.mixture, around.corpus, steps, around.shelf)
        for reader, spec in zip(readers, specs, strict=True)
    }
    for step in range(steps):
        drawn = {reader: next(stream) for reader, stream in streams.items()}
        parts = zip(*(drawn[reader] for reader in readers), strict=True)
        inputs, targets, weights = (torch.stack(part) for part in parts)
        clock.lap("data")
        losses = program(inputs, targets, weights).tolist()
        tokens = step * targets[0].numel()
        for course, value in zip(courses, losses, strict=True):
            if course.failed is None and not math.isfinite(value):
                course.failed = TrialError(f"diverged at {tokens:,} tokens: loss is {value}")
            course.total += value
        clock.lap("step" if step else "record")
        going = [number for number, course in enumerate(courses) if course.failed is None]
        if not going:
            break
        if step == min(1, steps - 1):
            member = min(going, key=lambda number: specs[number].learning_rate)
            program.compare(member, (inputs, targets, weights), losses[member])
            clock.lap("record")
        share = schedule(step, steps)
        optimizer.step([spec.learning_rate * share for spec in specs])
        clock.lap("optimizer")
        counted += 1
        if step in reports:
            seconds = (time.perf_counter() - began) / len(specs)
            for key, course in zip(keys, courses, strict=True):
                if course.failed is None:
                    loss = course.total / counted
                    tokens = (step + 1) * targets[0].numel()
                    point = CurvePoint(tokens=tokens, loss_nats=loss, seconds=seconds)
                    course.points.append(point)
                    tell(key, point)
                course.total = 0.0
            counted = 0
            clock.lap("report")
    return courses


def _examined(
    subject: Subject,
    program: Program,
    number: int,
    model: nn.Module,
    member: Member,
    course: Course,
    around: Around,
    clock: Clock,
) -> TrialResult | TrialError:
    """One member's evaluation, by the model that it began as."""
    program.unload(number, model)
    model.eval()
    try:
        return examine(
            subject,
            model,
            _apart(member.spec),
            around.corpus,
            tuple(course.points),
            clock,
            member.weights,
            around.commit,
            around.shelf,
        )
    except TrialError as error:
        return error


def _shared(
    ended: Sequence[TrialResult | TrialError], clock: Clock, members: Sequence[Member]
) -> list[TrialResult | TrialError]:
    """The results with their members' kernel, and with equal shares of the pack's seconds."""
    count = len(members)
    share = {
        "members": count,
        "cpu_seconds": clock.cpu_seconds() / count,
        "wall_seconds": clock.wall_seconds() / count,
        "phases": {phase: seconds / count for phase, seconds in clock.phases().items()},
    }
    return [
        one
        if isinstance(one, TrialError)
        else one.model_copy(update={**share, "kernel": member.spec.kernel})
        for one, member in zip(ended, members, strict=True)
    ]


def _alone(
    member: Member,
    spec: TrialSpec,
    around: Around,
    tell: Tell,
) -> TrialResult | TrialError:
    try:
        return _trial(member, spec, around, tell)
    except TrialError as error:
        return error


def _trial(
    member: Member,
    spec: TrialSpec,
    around: Around,
    tell: Tell,
) -> TrialResult:
    def told(point: CurvePoint) -> None:
        tell(member.spec.key, point)

    return run_trial(spec, around.corpus, member.weights, told, around.commit, around.shelf)


def _apart(spec: TrialSpec) -> TrialSpec:
    """The trial as it would be on its own."""
    return spec.model_copy(update={"kernel": PACKED.get(spec.kernel, spec.kernel)})


def _alike(spec: TrialSpec) -> TrialSpec:
    return spec.model_copy(update=dict.fromkeys(OWN, 0))

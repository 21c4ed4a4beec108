"""What speaks against an exam, all of it at once, each with the next step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from palmette.errors import UserError
from palmette.exam.entrants import Named, misfits
from palmette.exam.exposure import exposed
from palmette.exam.recipe import Recipe
from palmette.ladder.scales import HUMAN_BASELINES, Scale
from palmette.ops.kernels.native.library import unavailable
from palmette.records import CampaignConfig, StoredExam
from palmette.store import Campaign
from palmette.tasks import Corpus, Suite, suite
from palmette.train.seeding import NUMERICS
from palmette.train.sight import require_honest


@dataclass(frozen=True)
class Asked:
    """An exam as it was asked for.

    `ladder` is the campaign's scale as this version has it; `scale`, `most`, `leave_out` and
    `fresh_draw` are what the user has said. `sealed` is a suite like the one that will be drawn.
    """

    campaign: Campaign
    ladder: Scale
    recipe: Recipe
    corpus: Corpus
    sealed: Suite
    candidates: tuple[Named, ...]
    baselines: tuple[Named, ...]
    scale: str | None = None
    most: int | None = None
    leave_out: tuple[str, ...] = ()
    fresh_draw: bool = False

    @property
    def config(self) -> CampaignConfig:
        """The campaign's."""
        return self.campaign.config

    @property
    def context(self) -> int:
        """The longest length that any evaluation uses."""
        return max(self.sealed.context(rung.length) for rung in self.recipe.rungs)


def faults(asked: Asked, exams: Sequence[StoredExam]) -> list[str]:
    """A sentence for each thing that speaks against the exam; `exams` are the campaign's."""
    return [
        *_of_campaign(asked),
        *_of_candidates(asked),
        *_of_baselines(asked),
        *_of_exposure(asked, exams),
    ]


def faults_of_kept(exam: StoredExam, scale: str | None, corpus: Corpus, sealed: Suite) -> list[str]:
    """What speaks against going on with an exam; `sealed` is its suite as this version makes it."""
    plan = exam.plan
    told = []
    if scale is not None and scale != plan.scale:
        told.append(f"it is held at scale {plan.scale}, not {scale}: leave --scale out")
    if plan.numerics != NUMERICS:
        told.append(
            f"its trials have numerics {plan.numerics} and this version has {NUMERICS}: go on with "
            "the version that began it"
        )
    elif sealed.digest(corpus.sha256) != plan.suite_digest:
        told.append(
            f"its text was {plan.corpus} and this is {corpus.origin} ({corpus.sha256[:12]}), or "
            "its tasks are another version's: give the text that it began with as --corpus"
        )
    begun = f"exam {exam.number} was begun and cannot be gone on with:"
    last = "or begin another one with --fresh-draw"
    return [begun, *(f"  {one}" for one in told), last] if told else []


def _of_campaign(asked: Asked) -> Iterator[str]:
    config, corpus = asked.config, asked.corpus
    name = config.name
    if asked.scale is not None and asked.scale != config.scale:
        yield (
            f"campaign {name} was trained at scale {config.scale}, not {asked.scale}: what it "
            f"chose it chose at other sizes; leave --scale out, or first "
            f"`palmette grow --scale {asked.scale} --campaign NAME`"
        )
    elif asked.ladder.digest != config.scale_digest:
        yield (
            f"campaign {name} was trained at other sizes than scale {config.scale} has in this "
            "version; examine it with the version that grew it, or grow another campaign"
        )
    if config.numerics != NUMERICS:
        yield (
            f"campaign {name} has numerics {config.numerics} and this version {NUMERICS}: their "
            "numbers are not compared; examine it with the version that grew it, or grow another "
            "campaign"
        )
    tasks = suite(config.suite)
    if tasks.needs_corpus and tasks.digest(corpus.sha256) != config.suite_digest:
        yield (
            f"campaign {name} was grown on {config.corpus}, and this is other text or its tasks "
            f"are another version's: {corpus.origin} ({corpus.sha256[:12]}); give the campaign's "
            "text as --corpus"
        )
    if config.kernel != "torch" and (reason := unavailable()):
        yield (
            f"campaign {name} computes with {config.kernel} kernels, and those are not to be had "
            f"here: {reason}; examine it on a machine with a C++ compiler"
        )


def _of_candidates(asked: Asked) -> Iterator[str]:
    config = asked.config
    if not asked.candidates:
        yield (
            f"campaign {config.name} has no found genome with a score yet; run `palmette grow` "
            "on, or name a genome: `palmette verify GENOME`"
        )
    most = asked.most if asked.most is not None else asked.recipe.candidates
    if len(asked.candidates) > most:
        count = len(asked.candidates)
        yield (
            f"{count} candidates are more than the {most} that sit an exam, and each takes error "
            f"from the others; name fewer, or say --candidates {count}"
        )
    for one in asked.candidates:
        try:
            require_honest(one.genome, asked.sealed)
        except UserError as error:
            yield f"{one.label} cannot be examined: {error}"
    yield from misfits(asked.candidates, asked.recipe, asked.context)


def _of_baselines(asked: Asked) -> Iterator[str]:
    for name in asked.leave_out:
        if name not in HUMAN_BASELINES:
            yield (
                f"--leave-out wants human baselines, got {name!r}; there are: "
                f"{', '.join(HUMAN_BASELINES)}"
            )
    if not asked.baselines:
        yield "an exam needs a human baseline; leave fewer of them out with --leave-out"
    sitting = {one.genome.hash: one for one in asked.candidates}
    for one in asked.baselines:
        if one.genome.hash in sitting:
            yield (
                f"{sitting[one.genome.hash].label} is the human baseline {one.name} itself; "
                f"examine it against the others with --leave-out {one.name}"
            )
    for told in misfits(asked.baselines, asked.recipe, asked.context):
        yield f"{told}; leave it out with --leave-out"


def _of_exposure(asked: Asked, exams: Sequence[StoredExam]) -> Iterator[str]:
    draws = asked.campaign.draws()
    if asked.fresh_draw or not draws:
        return
    newest = draws[-1].number
    seen = {
        genome: exam.number
        for exam in reversed(exams)
        if exam.plan.draw == newest
        for genome in candidates_of(exam)
    }
    candidates = asked.campaign.candidates()
    ancestors = exposed(candidates, seen) if seen else {}
    theirs = {candidate.genome for candidate in candidates}
    for one in asked.candidates:
        own = one.genome.hash
        ancestor = ancestors.get(own, own if own in seen else None)
        if ancestor is not None:
            what = "was" if ancestor == own else f"descends from {ancestor[:8]}, which was"
            yield (
                f"{one.label} {what} examined on these sealed tasks already, in exam "
                f"{seen[ancestor]}; examine it on others with --fresh-draw"
            )
        elif draws[-1].opened_at and own not in theirs:
            yield (
                f"{one.label} is none of the campaign's genomes, and since {draws[-1].opened_at} "
                "anybody may know these sealed tasks; examine it on others with --fresh-draw"
            )


def candidates_of(exam: StoredExam) -> set[str]:
    """Hashes of the genomes that an exam examines."""
    return {entry.genome for entry in exam.plan.entries if entry.role == "candidate"}

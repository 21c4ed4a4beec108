"""An exam: who sits it, what it costs, what was measured, and what may be said."""

from __future__ import annotations

from typing import Literal

from palmette.records._base import Finite, Record
from palmette.records.study import Span

League = Literal["open", "constant-state"]
Claim = Literal["score", "efficiency"]
EntryRole = Literal["candidate", "baseline", "tuned", "placebo"]
ExamState = Literal["running", "finished"]


class Draw(Record):
    """The sealed tasks of a campaign, fixed by a secret of which only the hash is told at first."""

    number: int  # within the campaign, from 1
    commitment: str  # SHA-256 of the secret, as hex
    committed_at: str  # UTC, ISO 8601
    opened_at: str | None = None  # when the first exam read it
    secret: str | None = None  # hex; None until it was opened


class ExamRung(Record):
    """A size and a number of tokens at which an exam trains; `stretch` is in the entry."""

    name: str
    parameters: int
    tokens: int
    batch_size: int
    length: int
    evaluation_tokens: int
    seeds: int  # after the sweep; on the last rung the most that any look may have


class Entry(Record):
    """Who sits an exam: one genome, trained alike at every rung.

    A `tuned` baseline is what a search over knobs alone has made of `baseline`. An entry with
    `stretch` above 1 is trained on so many times the tokens, to equal the FLOPs of `matches`.
    """

    label: str  # unique in its exam, for people
    role: EntryRole
    genome: str
    expression: str
    name: str | None = None
    replica: int = 0
    baseline: str | None = None  # the human design that it is, or was tuned from
    stretch: float = 1.0
    matches: str | None = None  # label of the candidate whose training FLOPs it equals
    parameters: int  # at the last rung, as all that follow
    flops_forward: Finite  # per token
    flops_train: Finite  # of one trial
    state_bytes: int  # at the exam's length
    constant_state: bool


class Hypothesis(Record):
    """What an exam may say of a candidate, with the error that the ledger has given to it."""

    number: int  # in the ledger of the store, from 1
    candidate: str  # label
    league: League
    claim: Claim
    alpha: Finite


class LedgerRow(Record):
    """A hypothesis that was ever sent to an exam of this store. `p` is None until it was judged."""

    number: int
    exam: int
    hypothesis: Hypothesis
    p: Finite | None = None
    verified: bool | None = None


class Price(Record):
    """What an exam costs and what it can see, told before it begins."""

    trials: int
    worker_seconds: Finite | None  # None where no trial tells how long one takes
    noise: Finite | None  # deviation of one seed's difference of two entries
    noise_from: str  # where that is known from
    seeds: int
    detectable: Finite | None  # the smallest true difference found with `power`
    power: Finite
    alpha: Finite  # of the strictest hypothesis


class ExamPlan(Record):
    """Everything that an exam does, fixed before its first trial."""

    campaign: str
    draw: int
    scale: str
    suite: str  # name by which the sealed suite is made again
    suite_digest: str
    corpus: str
    numerics: int
    kernel: str
    seed: int
    rungs: tuple[ExamRung, ...]  # the last is where verdicts are made
    learning_rates: tuple[float, ...]
    rate_factor: float
    extensions: int
    looks: tuple[int, ...]  # seeds after which the last rung is judged
    shares: tuple[float, ...]  # of a hypothesis' alpha that each look may spend; 1 together
    q: Finite  # false-discovery rate over the life of the store
    paired: bool
    correlation: Span | None = None  # between entries over shared seeds, where it was calibrated
    text_margin_bits: Finite  # by which held-out text may be worse
    score_margin: Finite  # by which an efficient design may be worse
    efficiency: Finite  # share of the state or of the FLOPs that counts as efficient
    tuning_trials: int  # that each tuned baseline's search had; 0 without tuned baselines
    entries: tuple[Entry, ...]
    hypotheses: tuple[Hypothesis, ...]
    price: Price


class Sat(Record):
    """What an entry measured at a rung: one value a seed, in the order of `seeds`.

    `seeds` are the first of those planned, in the planned order: what has ended beyond a seed that
    has not is left out. `failed` says that no more will come: every rate of the sweep has failed,
    or the next seed at the chosen one has.
    """

    label: str
    rung: str
    learning_rate: Finite | None  # None where every rate has failed
    seeds: tuple[int, ...]
    scores: tuple[Finite, ...]  # the endpoint: mean over sealed tasks
    text_bits: tuple[Finite, ...]  # bits per byte of held-out text
    tasks: dict[str, tuple[Finite, ...]]  # score by sealed task
    failed: bool = False


class Contrast(Record):
    """A candidate against one entry: the difference with its interval, and one-sided p."""

    candidate: str
    against: str
    difference: Span | None  # None for fewer than two seeds
    p: Finite | None
    paired: bool
    correlation: Finite | None  # of the two over seeds
    seeds: int


class CarryPoint(Record):
    """A candidate's advantage over the best human baseline at a rung; None until all sat there."""

    rung: str
    against: str | None
    advantage: Span | None


class Verdict(Record):
    """What an exam says of one hypothesis.

    `kind` of what was verified: structural if tuned baselines were beaten as well, tuning if only
    the defaults were, untold where no tuned ones sat or one has failed. `contrasts` are of the look
    at which each was last looked at: who is beaten is not trained on. Their `p` is of the claim,
    so for efficiency of being worse by the margin. `text` is held-out text against the baseline
    for which it is the most doubtful, in bits per byte, positive being worse. `look` is None as
    long as the verdict is open, and `kind` as long as tuned baselines are. `p` is the largest over
    the baselines, adjusted for the looks: what is verified has one of at most alpha.
    """

    hypothesis: Hypothesis
    verified: bool
    kind: Literal["structural", "tuning", "untold"] | None
    p: Finite | None
    look: int | None  # which of the planned looks decided, from 1
    seeds: int
    contrasts: tuple[Contrast, ...]
    text: Contrast | None
    text_holds: bool | None
    carry: tuple[CarryPoint, ...]
    carries: Literal["carries", "does not carry", "not told"]
    sentence: str  # never without parameters, tokens, endpoint and interval


class CanaryRow(Record):
    """A saved model, loaded and evaluated by another process. Scores are the endpoint's.

    A file that could not be evaluated has no scores and neither agrees nor differs.
    """

    label: str
    seed: int
    told: Finite  # by the process that trained it
    reloaded: Finite | None
    fresh: Finite | None  # of the same genome with weights made afresh
    agrees: bool
    differs: bool
    reason: str | None = None  # a sentence, if it does not agree or does not differ

    @property
    def passed(self) -> bool:
        """Whether the saved model is what was evaluated, and was trained."""
        return self.agrees and self.differs


class Rate(Record):
    """How often something happened that should not, with the highest rate that is left open.

    `bound` is the upper end of a one-sided 95 % interval (Clopper and Pearson 1934).
    """

    happened: int
    cases: int
    bound: Finite


class PowerPoint(Record):
    """How often a candidate, with the noise that it has, is verified if it is better by so much."""

    candidate: str  # label
    effect: Finite  # of the endpoint, beside the strongest baseline
    rate: Span


class NullExams(Record):
    """Exams resampled from residuals, in which no candidate is better.

    `power` is of others, in which a candidate is better, by its first hypothesis of a score.
    """

    exams: int
    alpha: Finite
    rate: Span
    rate_bound: Rate
    p: tuple[Finite, ...] = ()  # of each exam the smallest over its hypotheses, had no look stopped
    power: tuple[PowerPoint, ...] = ()


class StoredExam(Record):
    """An exam as the store holds it; what came of it is empty until it is finished."""

    number: int  # from 1, over the life of the store
    campaign: str
    sitting: str  # the campaign of kind `exam` that holds its trials
    state: ExamState
    plan: ExamPlan
    verdicts: tuple[Verdict, ...] = ()
    placebos: tuple[Verdict, ...] = ()
    nulls: NullExams | None = None


class Offer(Record):
    """`verify --price`: who would sit, what could be said of whom, and what it costs."""

    campaign: str
    scale: str
    exam: int | None  # that was begun already; None of one that was not
    draw: Draw | None  # None where sealed tasks are drawn when it begins
    rungs: tuple[ExamRung, ...]
    looks: tuple[int, ...]
    q: Finite
    entries: tuple[Entry, ...]  # with defaults in the place of baselines still to be tuned
    hypotheses: tuple[Hypothesis, ...]
    spent: tuple[LedgerRow, ...]  # the ledger before it
    tuning_trials: int
    price: Price
    unheeded: tuple[str, ...] = ()  # what was asked otherwise than the exam was begun with


class Spent(Record):
    """What an exam has cost so far: its own trials, without the searches that tuned baselines."""

    trials: int  # that ended
    failed: int  # of them
    worker_seconds: Finite


class Exam(Record):
    """`verify`: an exam from the store alone."""

    exam: int
    campaign: str
    state: ExamState
    plan: ExamPlan
    draw: Draw
    sat: tuple[Sat, ...]
    verdicts: tuple[Verdict, ...]
    placebos: tuple[Verdict, ...]  # judged as if they were candidates; none is in the ledger
    placebo_rate: Rate | None  # over all exams of the store
    nulls: NullExams | None
    canary: tuple[CanaryRow, ...]
    ledger: tuple[LedgerRow, ...]
    spent: Spent | None = None  # None where its trials are not at hand

"""The search from Python: `palmette.create_campaign` and what it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from palmette.designer.endpoint import Endpoint
from palmette.designer.prices import Price
from palmette.errors import TrialError, UserError
from palmette.grammar.genome import Genome
from palmette.ladder.ranking import best_rows
from palmette.ladder.results import fitness
from palmette.model import atlas, parse
from palmette.model.stranger.node import admit, expression
from palmette.records import BestRow, StatusRow, StoredTrial, TrialResult, TrialSpec
from palmette.search.budget import Budget
from palmette.search.compiling import weigh
from palmette.search.grow import BEAT_SECONDS, grow
from palmette.search.manner import Ask
from palmette.search.packing import choose_for
from palmette.search.scheduler import Scheduler
from palmette.search.served import Served, Wanted, served_by
from palmette.search.start import (
    Ground,
    Plan,
    designers_of,
    open_campaign,
    prepare,
    schedule,
)
from palmette.search.status import status_row
from palmette.search.strangers import NAMED, introduce, leaks
from palmette.store import Campaign, Lease, Store
from palmette.train.executor import Member
from palmette.train.pack import Around, run_any
from palmette.train.pool import Pool
from palmette.train.process import processors

if TYPE_CHECKING:
    import pandas

UNLIMITED = Budget("ask and tell", genomes=1_000_000_000)


def create_campaign(
    name: str = "main",
    storage: str = "sqlite:///palmette.db",
    load_if_exists: bool = True,
    *,
    root: Genome | str | None = None,
    scale: str = "pocket",
    suite: str | None = None,
    proposers: tuple[str, ...] = ("evolution",),
    mix: str = "turns",
    seed: int = 0,
    corpus: str | Path | None = None,
    kernel: str | None = None,
    packed: bool | None = None,
    compiled: bool | None = None,
    models: Sequence[str] = (),
    model_budget: str | None = None,
    prices: Mapping[str, Price] | None = None,
    endpoint: Endpoint | None = None,
    **designer: Any,
) -> Search:
    """Makes a campaign, or opens it if it is there; the defaults are those of `palmette grow`.

    Raises `StorageError` if the store cannot be used, if the name is taken by a campaign with
    another configuration, or if it exists and `load_if_exists` is False; `UserError` for names
    that are not there. `root` is a genome, its text, a name of the atlas, or a layer of yours
    (`FILE.py`), which runs in a locked-down process alone.

    `kernel` is how models compute, 'native' or 'torch'; if None, as the campaign began, or native
    where this machine has a C++ compiler. `packed` says whether trials of one genome and rung are
    trained at once, `compiled` whether torch.compile goes over their models; if None, as the
    campaign began, or what is measured to be faster.

    Proposers that ask language models, such as `llm`, take `models`, names that the server at
    OPENAI_BASE_URL knows (the only one it has, if there is no name), a `model_budget` such as
    `200k-tokens` or `2usd`, `prices` where the table that ships has none, and the fields of
    `DesignerConfig` (`steps=2`, `knowledge=False`). An `endpoint` of your own takes the server's
    place.

    >>> import tempfile, palmette
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     url = f"sqlite:///{folder}/palmette.db"
    ...     campaign = palmette.create_campaign("try", url, scale="seedling", suite="parity")
    ...     trial = campaign.ask()
    ...     campaign.tell(trial)  # trains it here; give a result of your own as second argument
    ...     done = campaign.status().trials["done"]
    ...     campaign.close()
    >>> done
    1
    """
    plan = Plan(
        name=name,
        root=_genome(root),
        scale=scale,
        suite=suite,
        proposers=proposers,
        seed=seed,
        corpus=Path(corpus) if corpus is not None else None,
        mix=mix,
        kernel=kernel,
        packed=packed,
        compiled=compiled,
    )
    with ExitStack() as opened:
        served = None
        if designers_of(proposers):
            wanted = Wanted(tuple(models), model_budget, prices or {}, designer)
            served = opened.enter_context(served_by(wanted, endpoint))
            plan = replace(plan, designer=served.config)
        elif models or model_budget or prices or endpoint or designer:
            raise UserError(f"no proposer asks a language model: {', '.join(proposers)}")
        ground = prepare(plan)
        store = opened.enter_context(Store(storage))
        campaign = open_campaign(store, ground, load_if_exists, Ask(choose_for, weigh))
        return Search(opened.pop_all(), campaign, ground, served)


def _genome(root: Genome | str | None) -> Genome | None:
    if isinstance(root, str) and NAMED.fullmatch(root):
        found = introduce(root)
        if failed := leaks(found):
            told = "; ".join(f"{result.gate}: {result.detail}" for result in failed)
            raise UserError(f"{root} cannot be trained, its scores would mean nothing: {told}")
        admit(found)
        return parse(expression(found))
    if isinstance(root, str):
        return atlas.load(root) if root in atlas.names() else parse(root)
    if root is None or isinstance(root, Genome):
        return root
    raise UserError(f"root wants a genome, its text or a name of the atlas, got {root!r}")


class Search:
    """A campaign that can be grown, or driven by hand with `ask` and `tell`.

    Use it as a context manager, or call `close`: until then nobody else may grow it once it has
    been asked.
    """

    def __init__(
        self, opened: ExitStack, campaign: Campaign, ground: Ground, served: Served | None
    ) -> None:
        self._campaign = campaign
        self._ground = ground
        self._served = served
        self._open = opened
        self._lease: Lease | None = None
        self._asked: Scheduler | None = None
        self._closed = False

    def grow(self, budget: str = "10m", workers: int | None = None) -> None:
        """Searches until the campaign's total budget is spent; see `palmette grow`."""
        count = len(processors()) if workers is None else workers
        if count < 1:
            raise UserError(f"grow wants one worker or more, got {workers!r}; None is one a core")
        amount = Budget.parse(budget)
        lease = self._leased()
        self._forget()
        self._campaign.requeue_running()
        scheduler = self._schedule(amount, count)
        with self._pool(count) as pool:
            grow(scheduler, pool, lease.beat)

    def ask(self) -> StoredTrial:
        """The trial to run next; waits for a language model if there is nothing else to do.

        Raises `UserError` if nothing can run before a result is told.
        """
        lease = self._leased()
        if self._asked is None:
            self._campaign.requeue_running()
            self._asked = self._schedule(UNLIMITED, 1)
        lease.beat()
        while (trial := self._asked.ask()) is None and self._asked.attend(BEAT_SECONDS):
            lease.beat()
        if trial is None:
            if ending := self._asked.ending:
                raise UserError(ending)
            raise UserError("no further trial can be chosen before a result is told; call tell()")
        return trial

    def tell(self, trial: StoredTrial, result: TrialResult | None = None) -> None:
        """The result of a trial that was asked for; without one it is trained here and now."""
        if self._asked is None or trial.trial not in self._asked.book.trials:
            raise UserError(f"trial {trial.trial} was not asked for here; call ask() first")
        if result is None:
            weights = self._campaign.weights_directory / f"{trial.key}.pt"
            last = trial.spec.rung == self._ground.scale.rungs[-1].name
            result = self._run(trial.spec, weights if last else None)
        self._asked.book.tell(trial.trial, result)

    def _run(self, spec: TrialSpec, weights: Path | None) -> TrialResult:
        """Trains here; a layer from a file behind walls."""
        if not self._campaign.strangers():
            return run_any(Member(spec, weights), Around(self._ground.corpus))
        with self._pool(1) as pool:
            pool.submit(spec, weights)
            (ended,) = pool.wait()
        if ended.result is None:
            raise TrialError(ended.reason or "the trial gave no result")
        return ended.result

    def _schedule(self, budget: Budget, workers: int) -> Scheduler:
        studio = self._served.studio(self._campaign) if self._served else None
        return schedule(self._campaign, self._ground, budget, workers, studio)

    def _forget(self) -> None:
        """Ends asking and telling; what has been thought by then is kept."""
        if self._asked is not None:
            self._asked.close()
            self._asked = None

    def _pool(self, workers: int) -> Pool:
        corpus = self._ground.corpus
        return Pool(
            workers,
            corpus.directory if corpus else None,
            strangers=self._campaign.strangers(),
            weights=self._campaign.weights_directory,
        )

    def status(self) -> StatusRow:
        """Counts, budget, time and the best so far."""
        return status_row(self._campaign, self._ground.scale)

    def best(self) -> list[BestRow]:
        """All candidates, ranked by estimates that selection does not flatter."""
        candidates, trials = self._campaign.candidates(), self._campaign.trials()
        return best_rows(candidates, trials, self._ground.scale)

    def trials_dataframe(self) -> pandas.DataFrame:
        """One row a trial: its key's fields, its state, its score and a column for each task.

        Raises `UserError` if pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise UserError("a data frame needs pandas: pip install pandas") from error
        rows = []
        for trial in self._campaign.trials():
            row = {"trial": trial.trial, "state": trial.state, **trial.spec.model_dump()}
            if trial.result is not None:
                rung = self._ground.scale.rungs[self._ground.scale.number(trial.spec.rung)]
                row["score"] = fitness(trial.result.metrics, rung)
                row["cpu_seconds"] = trial.result.cpu_seconds
                row |= {f"{name}_bits": m.bits for name, m in trial.result.metrics.items()}
            rows.append(row)
        return pd.DataFrame(rows)

    def close(self) -> None:
        """Gives the campaign free for others."""
        if not self._closed:
            self._closed = True
            with self._open:
                self._forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _leased(self) -> Lease:
        if self._closed:
            raise UserError("this campaign was closed; open it again with palmette.create_campaign")
        if self._lease is None:
            self._lease = self._open.enter_context(self._campaign.lease("python"))
        return self._lease

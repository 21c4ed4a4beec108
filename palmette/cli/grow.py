"""`palmette grow`: searches, or goes on searching, until the budget is spent."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.text import Text

from palmette.cli._designer import (
    AnswerOption,
    BudgetOption,
    CodeOption,
    ContextOption,
    EmbeddingOption,
    FeedbackOption,
    KnowledgeOption,
    MixOption,
    ModelOption,
    PriceOption,
    StepsOption,
    served,
    told_declined,
    wanted_models,
)
from palmette.cli._live import Live
from palmette.cli._options import (
    ArgumentsOption,
    CampaignOption,
    CompileOption,
    KernelOption,
    PackOption,
    StorageOption,
)
from palmette.cli._pool import GROWING_BYTES, pool_of
from palmette.cli._resolve import resolve
from palmette.cli._study import SeedsOption, StudyOption, study
from palmette.errors import UserError
from palmette.ladder.scales import SCALES
from palmette.ops.kernels.native.library import unavailable
from palmette.records import StoredTrial
from palmette.report import write_report
from palmette.search.budget import Budget
from palmette.search.compiling import weigh
from palmette.search.grow import grow as run
from palmette.search.manner import Ask, manner
from palmette.search.misfits import misfits
from palmette.search.packing import choose_for
from palmette.search.served import Served
from palmette.search.start import Plan, open_campaign, prepare, schedule
from palmette.search.winner import export_best
from palmette.store import Campaign, Store
from palmette.tasks import Corpus
from palmette.train.process import processors


def grow(
    budget: Annotated[
        str, typer.Option(help="The campaign's total: a time (10m, 2h) or genomes (60genomes).")
    ] = "10m",
    scale: Annotated[
        str, typer.Option(help=f"How large and how long: {', '.join(SCALES)}.")
    ] = "pocket",
    root: Annotated[
        str, typer.Option(help="The genome to grow from; FILE.py is a layer of yours.")
    ] = "deltanet",
    proposer: Annotated[
        str, typer.Option(help="Who proposes, one or more names with commas.")
    ] = "evolution",
    mix: MixOption = "turns",
    suite: Annotated[
        str | None,
        typer.Option(help="The tasks: a suite or one task; the scale's own if not given."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The campaign's seed.")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Trials at once; one a core if not given.")
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="A text file or folder; the standard library if not given.")
    ] = None,
    kernel: KernelOption = None,
    pack: PackOption = None,
    compile_blocks: CompileOption = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where report.html, best.py and best.pt go.")
    ] = Path("grown"),
    storage: StorageOption = "sqlite:///palmette.db",
    campaign: CampaignOption = None,
    arg: ArgumentsOption = None,
    llm_model: ModelOption = None,
    llm_budget: BudgetOption = None,
    llm_price: PriceOption = None,
    llm_steps: StepsOption = None,
    llm_context: ContextOption = None,
    llm_answer: AnswerOption = None,
    no_llm_knowledge: KnowledgeOption = False,
    no_llm_feedback: FeedbackOption = False,
    llm_embedding_model: EmbeddingOption = None,
    allow_code: CodeOption = False,
    llm_study: StudyOption = False,
    llm_study_seeds: SeedsOption = 1,
) -> None:
    """Grow a tree of architectures from a root; the same command continues it.

    Every trial is kept in the store. Writes report.html, best.py and best.pt into the output
    folder. Ctrl-C stops cleanly; the same command goes on.
    """
    console = Console()
    torch.set_num_threads(1)  # of this process, beside the workers
    amount = Budget.parse(budget)
    proposers = tuple(name.strip() for name in proposer.split(",") if name.strip())
    wanted = wanted_models(
        proposers,
        llm_model,
        llm_budget,
        llm_price,
        steps=llm_steps,
        context_tokens=llm_context,
        answer_tokens=llm_answer,
        knowledge=False if no_llm_knowledge else None,
        feedback=False if no_llm_feedback else None,
        embedding_model=llm_embedding_model,
        allow_code=True if allow_code else None,
    )
    genome = resolve(root, storage, campaign, arg)
    plan = Plan(
        name=campaign or "main",
        root=genome.genome,
        root_name=genome.name,
        scale=scale,
        suite=suite,
        proposers=proposers,
        mix=mix,
        seed=seed,
        corpus=corpus,
        kernel=kernel,
        packed=pack,
        compiled=compile_blocks,
    )
    count = workers or len(processors())
    _check_output(output)
    if llm_study:
        if no_llm_knowledge or no_llm_feedback:
            raise UserError("--llm-study turns knowledge and feedback on and off by itself")
        study(
            console,
            plan,
            storage,
            amount,
            count,
            output,
            wanted,
            llm_study_seeds,
        )
        return
    if llm_study_seeds > 1:
        raise UserError("--llm-study-seeds says how often --llm-study is repeated; give both")
    with served(wanted) as models:
        grow_campaign(console, plan, storage, amount, count, output, models)


def grow_campaign(
    console: Console,
    plan: Plan,
    storage: str,
    amount: Budget,
    workers: int,
    output: Path,
    models: Served | None = None,
) -> None:
    """Grows one campaign until its budget is spent, then writes its report and exports its best.

    `models` are those that designers among its proposers ask.
    """
    if models is not None:
        plan = replace(plan, designer=models.config)
    ground = prepare(plan)
    if ground.corpus is not None:
        console.print(_described(ground.corpus), highlight=False)
    for sentence in misfits([(ground.root, ground.config.root_name)], ground.scale, ground.context):
        console.print(f"note: {sentence}", style="yellow", highlight=False, soft_wrap=True)
    with Store(storage) as store:
        stored = open_campaign(store, ground, ask=Ask(choose_for, weigh))
        console.print(_told_kernels(stored), highlight=False, soft_wrap=True)
        with stored.lease("grow") as lease:
            stored.requeue_running()
            studio = models.studio(stored) if models else None
            scheduler = schedule(stored, ground, amount, workers, studio)
            try:
                with (
                    pool_of(stored, workers, ground.corpus, GROWING_BYTES) as pool,
                    Live(console, scheduler) as live,
                ):
                    run(scheduler, pool, lease.beat, live.update)
                output.mkdir(parents=True, exist_ok=True)
                report = write_report(stored, output / "report.html", store)
                exported = export_best(stored, ground.scale, output)
            except KeyboardInterrupt:
                console.print(
                    f"\nstopped after {scheduler.found} genomes; nothing that finished is lost. "
                    "The same command continues it."
                )
                raise
    failures = told_failures(scheduler.book.trials.values())
    for told in (told_declined(scheduler), scheduler.ending, failures):
        if told:
            console.print(Text(told), soft_wrap=True)
    console.print(f"[bold]{report}[/]" + "".join(f"  {file}" for file in exported))


def _told_kernels(stored: Campaign) -> str:
    """How its trials are trained, and why not natively where a machine cannot."""
    told = f"kernels: {manner(stored.config)}"
    if stored.config.kernel == "torch" and (reason := unavailable()):
        return f"{told}; native ones are not to be had here: {reason}"
    return told


def told_failures(trials: Collection[StoredTrial]) -> str | None:
    """How many trials failed and why most of them did; None if none has."""
    reasons = Counter(trial.reason for trial in trials if trial.state == "failed")
    if not reasons:
        return None
    reason, times = reasons.most_common(1)[0]
    why = reason if times == reasons.total() else f"{times} of them: {reason}"
    return f"{reasons.total()} of {len(trials)} trials failed ({why}); `palmette trials` lists them"


def _described(corpus: Corpus) -> str:
    size = sum(corpus.sizes.values()) / 1e6
    skipped = f", {corpus.skipped} files that are not text left out" if corpus.skipped else ""
    return (
        f"text: {corpus.origin}, {corpus.documents:,} documents, {size:.1f} MB{skipped} "
        f"(sha256 {corpus.sha256[:12]})"
    )


def _check_output(output: Path) -> None:
    """Says that results cannot be written before hours are spent on them, not after."""
    if output.exists() and not output.is_dir():
        raise UserError(f"-o wants a folder, but {output} is a file; name another")
    parent = next(p for p in (output, *output.resolve().parents) if p.exists())
    if not os.access(parent, os.W_OK):
        raise UserError(f"cannot write into {parent}; name another folder with -o")

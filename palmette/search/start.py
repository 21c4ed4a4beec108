"""Opening a campaign: what it is, its root and baselines, its scheduler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from palmette.designer.endpoint import Endpoint
from palmette.designer.money import Ledger, ModelBudget
from palmette.designer.prices import Price
from palmette.designer.session import Studio
from palmette.errors import UserError
from palmette.grammar.genome import Genome
from palmette.grammar.language import Language
from palmette.ladder.results import Setting
from palmette.ladder.scales import Scale
from palmette.ladder.scales import scale as scale_named
from palmette.model import atlas, parse
from palmette.ops import language
from palmette.ops.forms import KERNELS, PACKED
from palmette.ops.kernels.native.library import unavailable
from palmette.records import CampaignConfig, DesignerConfig, Event, Role
from palmette.search.book import Book
from palmette.search.budget import Budget
from palmette.search.candidates import describe
from palmette.search.inventions import language_of
from palmette.search.novelty import Screen
from palmette.search.packing import packed_kernel
from palmette.search.proposers import proposers
from palmette.search.scheduler import Scheduler
from palmette.search.strangers import remember
from palmette.search.thinking import Thinking
from palmette.store import Campaign, Store
from palmette.tasks import VOCABULARY, Corpus, load_corpus, suite
from palmette.train.pack_choice import Choice
from palmette.train.seeding import NUMERICS
from palmette.train.sight import require_honest

Chooses = Callable[[Genome, Scale, int, str], Choice]
"""Says of a root, a scale, its longest length and a kernel whether packs pay."""


@dataclass(frozen=True)
class Plan:
    """What a user asks of `grow`; the defaults are those of the command.

    `root` is a genome with its atlas name, if it has one. `suite` of None is the scale's own. `mix`
    says how several proposers share the proposals, `designer` how language models among them work.
    `kernel` of None is what the campaign has, if it is there, or else native where this machine can
    build it and torch where not. `packed`, whether trials of one genome and rung are trained at
    once, is what the campaign has if it is None, and measured when a campaign begins.
    """

    name: str = "main"
    root: Genome | None = None
    root_name: str | None = None
    scale: str = "pocket"
    suite: str | None = None
    proposers: tuple[str, ...] = ("evolution",)
    seed: int = 0
    corpus: Path | None = None
    mix: str = "turns"
    designer: DesignerConfig | None = None
    kernel: str | None = None
    packed: bool | None = None


@dataclass(frozen=True)
class Ground:
    """A plan made concrete: everything about it that does not depend on a store.

    `any_kernel` says that a campaign that is there may go on with the kernel that it has, and
    `any_packing` that it packs its trials or not as it began.
    """

    config: CampaignConfig
    scale: Scale
    corpus: Corpus | None
    root: Genome
    language: Language
    any_kernel: bool = True
    any_packing: bool = True

    @property
    def setting(self) -> Setting:
        """What the trials of a new campaign share."""
        return self.setting_of(self.config)

    def setting_of(self, config: CampaignConfig) -> Setting:
        """What the trials of a campaign share."""
        return Setting(
            scale=self.scale,
            suite=config.suite,
            suite_digest=config.suite_digest,
            seed=config.seed,
            numerics=config.numerics,
            kernel=packed_kernel(config.kernel) if config.packed else config.kernel,
        )

    @property
    def context(self) -> int:
        """The longest length that any evaluation uses."""
        return max(suite(self.config.suite).context(rung.length) for rung in self.scale.rungs)


def prepare(plan: Plan, ladder: Scale | None = None) -> Ground:
    """Checks a plan and reads its corpus. `ladder` stands in for the scale's own rungs and makes
    the plan a comparison.

    Raises `UserError` for an unknown scale, suite or proposer, a value of the wrong type, a root
    that would see its answers, or proposers that want language models and have none or the other
    way round; `CorpusError` for a bad corpus.
    """
    recipe = ladder or scale_named(plan.scale)
    thinkers = designers_of(plan.proposers)
    if thinkers and plan.designer is None:
        raise UserError(f"the proposer {thinkers[0]} asks a language model, and none was named")
    if plan.designer is not None and not thinkers:
        raise UserError(
            f"language models were named, but no proposer asks one: {', '.join(plan.proposers)}"
        )
    tasks = suite(plan.suite or recipe.suite)
    corpus = load_corpus(plan.corpus) if tasks.needs_corpus or plan.corpus else None
    root, root_name = plan.root, plan.root_name
    if root is None:
        root, root_name = atlas.load("deltanet"), "deltanet"
    require_honest(root, tasks)
    try:
        config = CampaignConfig(
            name=plan.name,
            scale=recipe.name,
            scale_digest=recipe.digest,
            root=root.text,
            root_name=root_name or _atlas_name(root),
            suite=tasks.name,
            suite_digest=tasks.digest(corpus.sha256 if corpus else None),
            corpus=corpus.origin if corpus else "no text: synthetic tasks alone",
            seed=plan.seed,
            proposers=tuple(plan.proposers),
            numerics=NUMERICS,
            kind="compare" if ladder else "grow",
            mix=plan.mix,
            designer=plan.designer,
            kernel=plan.kernel or default_kernel(),
            packed=bool(plan.packed),
        )
    except ValidationError as error:
        raise UserError(f"a campaign cannot be made: {faults_of(error)}") from error
    free = {"any_kernel": plan.kernel is None, "any_packing": plan.packed is None}
    return Ground(config, recipe, corpus, root, language(), **free)


def default_kernel() -> str:
    """'native' where this machine can build native kernels, 'torch' where not."""
    return "torch" if unavailable() else "native"


def created(
    store: Store, ground: Ground, load_if_exists: bool = True, choose: Chooses | None = None
) -> Campaign:
    """The campaign in a store, made if it is new, without its candidates.

    `choose` says whether a new one packs its trials, where the plan leaves that open; without it
    there are no packs.

    Raises `UserError` if its kernel is none of this version's, or cannot be built here;
    `StorageError` as `Store.create_campaign` does.
    """
    config = ground.config
    kept = store.campaign(config.name).config if config.name in store.campaigns() else None
    if kept is not None and ground.any_kernel:
        config = config.model_copy(update={"kernel": kept.kernel})
    if config.kernel not in KERNELS:
        raise UserError(f"there is no kernel {config.kernel!r}; there are: {', '.join(KERNELS)}")
    if config.kernel != "torch" and (reason := unavailable()):
        raise UserError(
            f"the trials of campaign {config.name!r} compute with {config.kernel} kernels, and "
            f"those are not to be had here: {reason}; or take another --campaign name with "
            "--kernel torch, for numbers of different kernels are not compared"
        )
    choice = None
    if ground.any_packing and kept is not None:
        config = config.model_copy(update={"packed": kept.packed})
    elif ground.any_packing and choose is not None:
        choice = choose(ground.root, ground.scale, ground.context, config.kernel)
        config = config.model_copy(update={"packed": choice.packed})
    if config.packed and config.kernel not in PACKED.values():
        raise UserError(f"trials with {config.kernel} kernels are not packed; take --kernel native")
    campaign = store.create_campaign(config, load_if_exists=load_if_exists)
    if choice is not None:
        campaign.add_event(Event(seconds=0.0, kind="packing chosen", detail=asdict(choice)))
    return campaign


def faults_of(error: ValidationError) -> str:
    """Everything that a record's fields have against what they were given."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}, got {fault['input']!r}"
        for fault in error.errors()
    )


def designers_of(names: Sequence[str]) -> list[str]:
    """Which of these proposers ask language models.

    Raises `UserError` for no names, for one that is not there and for one that is named twice.
    """
    if isinstance(names, str) or not names:
        raise UserError(
            f"a campaign wants the names of one proposer or more, got {names!r}; there are: "
            f"{', '.join(proposers.names())}"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"name each proposer once; {', '.join(twice)} is there more often")
    return [name for name in names if proposers[name].thinks]


def open_campaign(
    store: Store, ground: Ground, load_if_exists: bool = True, choose: Chooses | None = None
) -> Campaign:
    """The campaign in a store, made if it is new, with its root and baselines in place.

    `choose` as in `created`. Raises `StorageError` if the name is taken by a campaign with another
    configuration.
    """
    campaign = created(store, ground, load_if_exists, choose)
    remember(campaign, [ground.root])
    present = {(c.genome, c.replica) for c in campaign.candidates()}
    screen = screen_for(ground)
    for role, name, genome in _first_candidates(ground):
        if (genome.hash, 0) not in present:
            present.add((genome.hash, 0))
            update = {"role": role, "name": name}
            campaign.add_candidate(describe(genome, screen).model_copy(update=update))
    return campaign


def open_comparison(
    store: Store, ground: Ground, genomes: Sequence[tuple[Genome, str | None]]
) -> Campaign:
    """The campaign that holds a comparison's trials, with its genomes in the order given."""
    for genome, _ in genomes:
        require_honest(genome, suite(ground.config.suite))
    campaign = created(store, ground)
    remember(campaign, [genome for genome, _ in genomes])
    reference = genomes[0][0]
    screen = Screen(ground.scale, VOCABULARY, ground.context, [reference])
    for genome, name in genomes:
        role: Role = "root" if genome == reference else "found"
        described = describe(genome, screen).model_copy(update={"role": role, "name": name})
        campaign.add_candidate(described)
    return campaign


def screen_for(ground: Ground) -> Screen:
    """The checks that proposals of this campaign go through."""
    # The root too: one that loops may cost more than all baselines, and so may its children.
    references = [ground.root, *(atlas.load(name) for name in ground.scale.baselines)]
    return Screen(ground.scale, VOCABULARY, ground.context, references)


def studio_for(
    campaign: Campaign,
    endpoint: Endpoint,
    budget: ModelBudget | None = None,
    prices: Mapping[str, Price] | None = None,
) -> Studio:
    """What a campaign's designers work with; what they have spent in earlier sessions counts."""
    config = campaign.config.designer
    assert config is not None, "a campaign without designers has no studio"
    spent = campaign.thoughts()
    ledger = Ledger(
        budget,
        prices or {},
        spent_tokens=sum(thought.tokens_in + thought.tokens_out for thought in spent),
        spent_usd=sum(thought.usd or 0.0 for thought in spent),
    )
    return Studio(endpoint, config, ledger)


def schedule(
    campaign: Campaign,
    ground: Ground,
    budget: Budget,
    workers: int,
    studio: Studio | None = None,
) -> Scheduler:
    """The scheduler that continues a campaign; designers among its proposers need a studio.

    Raises `UserError` if they have none.
    """
    thinking = Thinking(workers)
    if studio is not None:
        studio = replace(studio, note=thinking.note, asking=thinking.asking)
    made = [proposers[name].make(studio) for name in campaign.config.proposers]
    campaign.set_budget(str(budget))
    return Scheduler(
        book=Book(campaign, ground.setting_of(campaign.config)),
        screen=screen_for(ground),
        proposers=made,
        budget=budget,
        language=language_of(campaign) if _invents(campaign) else ground.language,
        parse=parse,
        workers=workers,
        thinking=thinking,
        ledger=studio.ledger if studio else None,
    )


def _invents(campaign: Campaign) -> bool:
    """Whether primitives may join the language while it grows."""
    return campaign.config.designer is not None and campaign.config.designer.allow_code


def _first_candidates(ground: Ground) -> list[tuple[Role, str | None, Genome]]:
    named: list[tuple[Role, str | None, Genome]] = [("root", ground.config.root_name, ground.root)]
    named += [("baseline", name, atlas.load(name)) for name in ground.scale.baselines]
    return named


def _atlas_name(genome: Genome) -> str | None:
    return next((name for name in atlas.names() if atlas.load(name).hash == genome.hash), None)


__all__ = ["Ground", "Plan", "open_campaign", "prepare", "schedule", "screen_for", "studio_for"]

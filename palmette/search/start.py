"""Opening a campaign: what it is, its root and baselines, its scheduler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from palmette.records import CampaignConfig, DesignerConfig, Role
from palmette.search.book import Book
from palmette.search.budget import Budget
from palmette.search.candidates import describe
from palmette.search.compiling import compiled_kernel
from palmette.search.inventions import language_of
from palmette.search.manner import OPEN, Ask, default_kernel, settled
from palmette.search.novelty import Screen
from palmette.search.packing import packed_kernel
from palmette.search.proposers import proposers
from palmette.search.scheduler import Scheduler
from palmette.search.strangers import remember
from palmette.search.thinking import Thinking
from palmette.store import Campaign, Store
from palmette.tasks import VOCABULARY, Corpus, load_corpus, suite
from palmette.train.seeding import NUMERICS
from palmette.train.sight import require_honest

NOBODY = Ask()


@dataclass(frozen=True)
class Plan:
    """What a user asks of `grow`; the defaults are those of the command.

    `root` is a genome with its atlas name, if it has one. `suite` of None is the scale's own. `mix`
    says how several proposers share the proposals, `designer` how language models among them work.
    `kernel` of None is what the campaign has, if it is there, or else native where this machine can
    build it and torch where not. `packed`, whether trials of one genome and rung are trained at
    once, is what the campaign has if it is None, and measured when a campaign begins; so is
    `compiled`, whether torch.compile goes over their models (at every rung, if True).
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
    compiled: bool | None = None


@dataclass(frozen=True)
class Ground:
    """A plan made concrete: everything about it that does not depend on a store.

    `left_open` names what the campaign settles by itself: fields of its configuration.
    """

    config: CampaignConfig
    scale: Scale
    corpus: Corpus | None
    root: Genome
    language: Language
    left_open: frozenset[str] = OPEN

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
            kernels=dict.fromkeys(config.compiled, compiled_kernel(config.kernel)),
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
            compiled=tuple(rung.name for rung in recipe.rungs) if plan.compiled else (),
        )
    except ValidationError as error:
        raise UserError(f"a campaign cannot be made: {faults_of(error)}") from error
    left_open = frozenset(name for name in OPEN if getattr(plan, name) is None)
    return Ground(config, recipe, corpus, root, language(), left_open)


def created(
    store: Store, ground: Ground, load_if_exists: bool = True, ask: Ask = NOBODY
) -> Campaign:
    """The campaign in a store, made if it is new, without its candidates; a new search with a draw
    of sealed tasks, of which it tells the hash alone.

    `ask` is for what the plan leaves open, see `manner.settled`. Raises `UserError` as that does,
    `StorageError` as `Store.create_campaign` does.
    """
    name = ground.config.name
    kept = store.campaign(name).config if name in store.campaigns() else None
    subject = (ground.root, ground.scale, ground.context)
    config, events = settled(ground.config, kept, ground.left_open, subject, ask)
    searches = config.kind == "grow"  # and commits to the sealed tasks of its exam
    campaign = store.create_campaign(config, load_if_exists, draw=searches)
    for event in events:
        campaign.add_event(event)
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
    store: Store, ground: Ground, load_if_exists: bool = True, ask: Ask = NOBODY
) -> Campaign:
    """The campaign in a store, made if it is new, with its root and baselines in place.

    `ask` as in `created`. Raises `StorageError` if the name is taken by a campaign with another
    configuration.
    """
    campaign = created(store, ground, load_if_exists, ask)
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

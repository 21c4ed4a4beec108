"""The store as a reading command sees it: one campaign, and the scale that it was grown at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from palmette.errors import StorageError, UserError
from palmette.ladder.scales import SCALES, Scale
from palmette.ladder.scales import scale as scale_named
from palmette.records import CampaignConfig
from palmette.store import Campaign, Store

ELSEWHERE = {
    "compare": "a comparison; run the same `palmette compare` again to see it",
    "exam": "the trials of an exam; run the same `palmette verify` again to see it",
}


@contextmanager
def reading(storage: str, campaign: str | None) -> Iterator[Campaign]:
    """The campaign of this name, or the last one grown; nothing can be written to it.

    Raises `StorageError` if there is no store, `UnknownNameError` if it has no such campaign.
    """
    with Store(storage, create=False) as store:
        yield chosen(store, campaign)


def chosen(store: Store, campaign: str | None) -> Campaign:
    """The campaign of this name, or the last one grown, with its users' files."""
    return _known(store.latest() if campaign is None else store.campaign(campaign))


@contextmanager
def holding(genome: str, storage: str, campaign: str | None) -> Iterator[Campaign | None]:
    """The campaign that has a genome (hash) as its candidate, the last one made if several have.

    None if none has, or if there is no store: a genome can be looked at without one. Exams, what is
    tuned for them and comparisons are left out; one that is asked for by name is refused.
    """
    if not Store.exists(storage):
        if campaign is not None:
            raise StorageError(f"there is no store at {storage} to hold campaign {campaign!r}")
        yield None
        return
    with Store(storage, create=False) as store:
        if campaign is not None:
            require_search(store.campaign(campaign).config)
        names = store.campaigns("grow") if campaign is None else [campaign]
        found = [stored for name in names if (stored := _has(store.campaign(name), genome))]
        yield _known(found[-1]) if found else None


def _known(campaign: Campaign) -> Campaign:
    """The campaign, once the nodes of the users' files that it keeps are in the language."""
    if strangers := campaign.strangers():
        from palmette.model.stranger.node import admit  # imports torch, which takes seconds

        for stranger in strangers:
            admit(stranger)
    return campaign


def _has(campaign: Campaign, genome: str) -> Campaign | None:
    return campaign if any(c.genome == genome for c in campaign.candidates()) else None


def require_search(config: CampaignConfig) -> None:
    """Raises `UserError` for a comparison's campaign and an exam's."""
    if config.kind in ELSEWHERE:
        raise UserError(
            f"{config.name!r} holds {ELSEWHERE[config.kind]}, or name a campaign with --campaign "
            "(`palmette trials` lists its trials)"
        )


def scale_of(campaign: Campaign) -> Scale:
    """The ladder of a campaign.

    Raises `UserError` for a comparison and an exam, which have one of their own, and for a campaign
    whose scale meant something else when it was grown: its trials would be ranked by the wrong
    rules.
    """
    config = campaign.config
    require_search(config)
    if config.scale not in SCALES:
        raise UserError(
            f"campaign {config.name!r} was grown at scale {config.scale!r}, which is not in this "
            "version; read it with the version that grew it (`palmette trials` still lists its "
            "results)"
        )
    scale = scale_named(config.scale)
    if scale.digest != config.scale_digest:
        raise UserError(
            f"campaign {config.name!r} was grown when scale {config.scale!r} had other rungs than "
            "in this version; read it with the version that grew it (`palmette trials` still "
            "lists its results)"
        )
    return scale

"""The store as a reading command sees it: one campaign, and the scale that it was grown at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from palmette.errors import UserError
from palmette.ladder.scales import Scale
from palmette.ladder.scales import scale as scale_named
from palmette.store import Campaign, Store


@contextmanager
def reading(storage: str, campaign: str | None) -> Iterator[Campaign]:
    """The campaign of this name, or the last one grown; nothing can be written to it.

    Raises `StorageError` if there is no store, `UnknownNameError` if it has no such campaign.
    """
    with Store(storage, create=False) as store:
        yield store.latest() if campaign is None else store.campaign(campaign)


def scale_of(campaign: Campaign) -> Scale:
    """The ladder of a campaign.

    Raises `UserError` for a comparison, which has one of its own, and for a campaign whose scale
    meant something else when it was grown: its trials would be ranked by the wrong rules.
    """
    config = campaign.config
    if config.kind == "compare":
        raise UserError(
            f"{config.name!r} holds a comparison; run the same `palmette compare` again to see "
            "it, or name a campaign with --campaign"
        )
    scale = scale_named(config.scale)
    if scale.digest != config.scale_digest:
        raise UserError(
            f"campaign {config.name!r} was grown when scale {config.scale!r} had other rungs than "
            "in this version; read it with the version that grew it (`palmette trials` still "
            "lists its results)"
        )
    return scale

"""The proposers, one a file."""

from palmette.registry import Registry
from palmette.search.proposers._base import Proposal, Proposer

proposers: Registry[Proposer] = Registry("proposer", "palmette.search.proposers", Proposer)  # type: ignore[type-abstract]

__all__ = ["Proposal", "Proposer", "proposers"]

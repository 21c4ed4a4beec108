"""The proposers, one a file."""

from palmette.registry import Registry
from palmette.search.proposers._base import NoProposalError, Proposal, Proposer, Turn

proposers: Registry[Proposer] = Registry("proposer", "palmette.search.proposers", Proposer)  # type: ignore[type-abstract]

__all__ = ["NoProposalError", "Proposal", "Proposer", "Turn", "proposers"]

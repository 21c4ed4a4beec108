"""The store: every campaign, candidate, trial, attempt and event, in SQLite or PostgreSQL.

    with Store("sqlite:///palmette.db") as store:
        campaign = store.create_campaign(config)

It knows records and nothing else. Only the scheduler writes; everyone else opens it with
`create=False`, which reads and never makes a file.
"""

from palmette.store.campaign import Campaign
from palmette.store.lease import Holder, Lease
from palmette.store.store import Store

__all__ = ["Campaign", "Holder", "Lease", "Store"]

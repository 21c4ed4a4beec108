"""Trials: seeding, the training loop, and the processes that it runs in.

Modules are imported by name (`palmette.train.pool`, `palmette.train.loop`), so that whoever only
schedules trials does not import torch.
"""

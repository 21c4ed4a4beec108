"""What a sealed task is: a family of tasks, of which an exam draws one."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from palmette.tasks._base import Task


@dataclass(frozen=True)
class Family(Task):
    """The base of every sealed task: its fields have no defaults, an exam's secret draws them."""

    sealed: ClassVar[bool] = True

    @classmethod
    @abstractmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """One task of the family, its parameters drawn from `rng`."""

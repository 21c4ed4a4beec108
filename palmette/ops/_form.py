"""What a native form of a module says of itself."""

from typing import ClassVar

from torch import nn


class Form:
    """A subclass of a module class, and of this, that computes the same natively.

    It adds no parameter, buffer or attribute of its own: it may be put on and taken off.
    """

    name: ClassVar[str]
    stands_for: ClassVar[type[nn.Module]]

    @classmethod
    def suits(cls, module: nn.Module) -> bool:
        """Whether it can stand for this module, of the class that it stands for."""
        return True

"""Every primitive and combinator, those of installed packages too, keeps the contract."""

import pytest

from palmette.ops import language, primitives
from palmette.testing.primitive_kit import CHECKS, PrimitiveKit


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("primitive", primitives, ids=lambda primitive: primitive.name)
def test_it_keeps_the_contract(primitive, check):
    # A term stands in a rule, which is slow, and there are many terms: one of each is enough.
    check(PrimitiveKit(primitive, language(), samples=1 if primitive.sort.is_term else 3))

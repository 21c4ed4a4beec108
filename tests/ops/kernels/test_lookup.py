import pytest
import torch

from palmette.ops.kernels.lookup import (
    MULTIPLIERS,
    hashed_rows,
    hashed_rows_loop,
    lookup,
    lookup_loop,
    prime_sizes,
)

SIZES = [[11, 13], [17, 19], [23, 29]]


@pytest.mark.parametrize("length", [1, 2, 63, 100])
def test_rows_at_once_are_those_token_by_token(length):
    ids = torch.randint(70_000, (3, length), generator=torch.Generator().manual_seed(length))
    once, loop = (form(ids, SIZES, before=70_000) for form in (hashed_rows, hashed_rows_loop))
    assert torch.equal(once, loop)
    assert once.shape == (3, length, 6)


@pytest.mark.parametrize("length", [63, 100])
def test_one_gather_reads_what_table_by_table_does_with_the_same_gradients(length):
    generator = torch.Generator().manual_seed(0)
    tables = torch.randn(112, 5, generator=generator, requires_grad=True)
    rows = hashed_rows(torch.randint(99, (2, length), generator=generator), SIZES, before=99)
    weights = torch.randn(2, length, 30, generator=generator)
    found = []
    for form in (lookup, lookup_loop):
        y = form(tables, rows, SIZES)
        found.append((y, *torch.autograd.grad((y * weights).sum(), tables)))
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-5, atol=1e-5)


def test_no_product_leaves_64_bits_and_rows_are_in_their_tables():
    ids = torch.full((1, 4), 2**31 - 1)
    assert all((2**31 - 1) * m < 2**63 and m % 2 for m in MULTIPLIERS)
    rows = hashed_rows(ids, SIZES, before=2**31 - 1)
    assert torch.equal(rows, hashed_rows_loop(ids, SIZES, before=2**31 - 1))
    assert ((rows >= 0) & (rows < torch.tensor([11, 13, 17, 19, 23, 29]))).all()


def test_hashes_spread_over_the_rows():
    """All bigrams of 64 ids in a table of 1,009 rows: no row has three times its share."""
    first, second = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    pairs = torch.stack([first, second], -1).reshape(-1, 2)
    rows = hashed_rows(pairs, [[1009]], before=64)[:, 1, 0]
    assert rows.bincount(minlength=1009).max() <= 3 * 4096 / 1009


def test_primes_are_found_from_the_bound_on():
    assert prime_sizes(1360, 3) == (1361, 1367, 1373)
    assert prime_sizes(0, 4) == (2, 3, 5, 7)

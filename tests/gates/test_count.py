"""Counting work: exact where the formula is known, and blind to no operator."""

import pytest
import torch
from torch import nn

from palmette.gates._count import Work, work_of
from palmette.gates.cost_class import per_pair
from palmette.testing.gate_kit import WIDTH, layer


def counted(function, *arguments):
    with torch.no_grad(), Work() as work:
        function(*arguments)
    return work


def test_a_product_is_two_flops_a_multiply_add():
    assert counted(torch.matmul, torch.ones(3, 5), torch.ones(5, 7)).flops == 2 * 3 * 5 * 7


def test_attention_is_counted_in_its_fused_form():
    q = torch.ones(1, 2, 10, 4)
    work = counted(nn.functional.scaled_dot_product_attention, q, q, q)
    assert work.flops == 2 * 2 * 10 * 10 * (4 + 4)


def test_a_triangular_system_is_counted():
    matrix, right = torch.eye(6), torch.ones(6, 2)
    work = counted(lambda: torch.linalg.solve_triangular(matrix, right, upper=False))
    assert work.flops == 6 * 6 * 2


def test_elements_are_those_in_memory():
    assert counted(lambda: torch.ones(4).expand(9, 4) + torch.ones(9, 4)).elements == (
        4 + (4 + 36 + 36) + 36  # ones, the sum, ones
    )


def test_views_cost_nothing():
    x = torch.ones(8, 8)
    assert counted(lambda: x.mT[2:].unsqueeze(0).expand(3, -1, -1)).elements == 0


def test_a_row_of_a_table_costs_the_row():
    table, ids = torch.ones(1000, 3), torch.tensor([1, 2])
    assert counted(lambda: table[ids]).elements == 2 * 3 + 2


def test_every_width_of_numbers_is_noted():
    work = counted(lambda: (torch.ones(2).double() * 2).half())
    assert set(work.dtypes) == {torch.float32, torch.float64, torch.float16}


def test_backward_and_what_is_saved_for_it_are_counted():
    forward, _ = work_of(layer(), 32, backward=False)
    both, saved = work_of(layer(), 32, backward=True)
    assert both.flops == 3 * forward.flops  # a product's backward is two products
    assert saved >= 2 * 32 * WIDTH


@pytest.mark.parametrize("lengths", [(128, 256, 512), (320, 384, 448)])
def test_work_per_pair_is_the_curvature(lengths):
    counts = [7.0 + 100 * t + 0.5 * t * t for t in lengths]
    assert per_pair(lengths, counts) == pytest.approx(0.5)

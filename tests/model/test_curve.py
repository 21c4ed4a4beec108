import pytest

import palmette
from palmette.model import cost, fit
from palmette.model.curve import LENGTHS, decode_curve


def test_tokens_add_up_to_the_whole_sequence() -> None:
    genome = palmette.parse("stack(pre(attn(window=16)), pre(attn()), pre(glu()))")
    place = fit(genome, 50_000).place
    points = decode_curve(genome, place, range(1, 101))
    whole = 100 * cost(genome, place, 100).flops_forward
    assert sum(point.flops_token for point in points) == pytest.approx(whole, rel=1e-12)


def test_a_window_of_keys_is_read_off_the_curve() -> None:
    full, window = (
        decode_curve(genome, fit(genome, 200_000).place)
        for genome in map(palmette.parse, ("pre(attn())", "pre(attn(window=16))"))
    )
    assert full[-1].length == LENGTHS[-1] == 2**20
    assert full[-1].state_bytes == full[0].state_bytes * 2**20 // 128
    assert window[-1].state_bytes == window[0].state_bytes
    assert window[-1].flops_token == pytest.approx(window[0].flops_token)
    assert full[-1].flops_token > 100 * window[-1].flops_token

"""What decoding costs at a context length: the state that is kept, and the work of one more token.

`cost` gives FLOPs averaged over a whole sequence, as training and prefilling pay them. One token at
position t costs t F(t) - (t - 1) F(t - 1), F being that average; so both come from one closed form.
"""

from collections.abc import Iterable

from palmette.grammar.genome import Genome
from palmette.model.fit import cost
from palmette.ops._base import Place
from palmette.records import DecodePoint

LENGTHS = tuple(2**power for power in range(7, 21))  # 128 to 1,048,576 tokens


def decode_curve(
    genome: Genome, place: Place, lengths: Iterable[int] = LENGTHS
) -> tuple[DecodePoint, ...]:
    """State bytes (fp32, one sequence) and FLOPs of one token, by context length.

    >>> import palmette
    >>> genome = palmette.parse("stack(pre(attn()), pre(glu()))")
    >>> near, far = decode_curve(genome, palmette.fit(genome, 200_000).place, (1024, 1_048_576))
    >>> far.state_bytes // near.state_bytes
    1024
    """
    return tuple(
        DecodePoint(
            length=length,
            state_bytes=cost(genome, place, length).state_bytes,
            flops_token=_total(genome, place, length) - _total(genome, place, length - 1),
        )
        for length in lengths
    )


def _total(genome: Genome, place: Place, length: int) -> float:
    """FLOPs of a whole sequence."""
    return length * cost(genome, place, length).flops_forward if length else 0.0

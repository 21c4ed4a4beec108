"""How fast palmette is against what one would use instead, as ratios measured in one run.

    python -m benchmarks.ratios [--rows NAME …] [--pairs N] [--results FILE]

A row is a file in `rows/`: what is compared, against what, the ratio that is wanted, the two sides,
and a check that both compute the same numbers. A row whose sides do not is refused.
"""

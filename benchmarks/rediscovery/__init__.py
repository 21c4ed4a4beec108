"""Does the search find again what people have found? Decay, convolution and attention, withheld.

    python -m benchmarks.rediscovery run --genomes 60 --seeds 4      grows, or goes on
    python -m benchmarks.rediscovery report                          times to each, by arm
    python -m benchmarks.rediscovery report --picture found.png      and drawn

The root is a DeltaNet without decay and without its short convolutions. No human baseline is in the
campaign: none is trained, none could be a parent (only the root and what was found ever are), and
none keeps a proposal away as known or as a twin. Sampling has no preferences either: the language
is even, so the odds that its authors have given to decays and convolutions play no part. What is
left is that the language can say them. Primitives that are slow on a processor are left out of it;
attention is `attn` alone.
"""

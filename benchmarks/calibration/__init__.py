"""The calibration: what the rungs of a scale say of one another, measured on a sample of genomes.

    python -m benchmarks.calibration draw                 the genomes, into genomes.txt
    python -m benchmarks.calibration run text-1 text-2 …  trains what is missing of these stages
    python -m benchmarks.calibration proxies              what genomes show untrained
    python -m benchmarks.calibration table                the shards as one compact table
    python -m benchmarks.calibration report               what the table says, as Markdown and JSON
    python -m benchmarks.calibration figures docs/        pictures of it

Every finished trial is a line of a shard under `benchmarks/results/calibration/`; a run that was
killed goes on where it was.
"""

"""What language models bring as designers, measured. One file a figure.

    python -m benchmarks.designers validity    proposals that are legal, by form, at equal tokens
    python -m benchmarks.designers overhead    time of a proposal outside the endpoint
    python -m benchmarks.designers control     llm against evolution against random
    python -m benchmarks.designers steps       quality against designer steps per proposal
    python -m benchmarks.designers pictures DIRECTORY

Each writes lines of `benchmarks/results/designers_*.jsonl`; what is there is not run again, and
`--table` prints it. `docs/designers.md` says what came out.
"""

"""A stranger's PyTorch file as part of the language: read, described, and made into a node.

    source.py     the file as text: its modules, what it imports, its own line in an error
    names.py      which argument of a constructor means what
    describe.py   the class tried out: what it takes, at which widths, what it costs
    node.py       the node class that speaks of it, and the module that runs it

`describe` and the module execute the file: only in a locked-down process. The rest never does.
"""

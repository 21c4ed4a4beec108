"""Native kernels: C++ without torch's headers, built once by the system's compiler.

    compiler.py   which compiler, which instructions
    library.py    build, keep, check, load
    call.py       what a kernel is called with: addresses and strides
    *.cpp         the kernels, over vector.h (one width of vectors for each set of instructions)

Each kernel's Python half is a file of the same name: a `torch.library.custom_op` with a fake form
and a derivative that is an operator of its own. fp32 on a CPU only; everything else takes the torch
form (`ops/forms` decides when a model is built).
"""

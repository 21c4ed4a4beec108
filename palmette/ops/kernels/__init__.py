"""The kernels: each has a slow form that reads like the paper and a fast form."""

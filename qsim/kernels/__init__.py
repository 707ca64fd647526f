"""Every numba function. Kernels know arrays and integers, not formats. The only room that imports numba."""

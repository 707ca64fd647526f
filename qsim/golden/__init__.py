"""Golden vectors: written by the reference, checked against kernels and reference, element and block level."""

"""Blocks of 32 that all OCP MX captures share -> ocp_inputs.npz (needs numpy only)."""

from blocks import bits, blocks, save

x, kind = blocks(32, 18, extreme=12)
save("ocp_inputs", {"input": bits(x), "kind": kind})

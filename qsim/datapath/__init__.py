"""Multiply, accumulate, requantize: what an accelerator computes after the codes are decoded to integers."""

"""Capture AdaRound as PyTorch computes it: tests/data/adaround_torch.npz.

    /path/to/oracle-venv/bin/python tests/oracles/capture_adaround.py

torch 2.13.0 (CPU), float64. The formulas of Nagel et al. 2020 (arXiv:2004.10568), sections 3 and 4, written down here again and
differentiated by autograd; torch.optim.Adam steps. The settings are AIMET's defaults (regularizer 0.01, beta 20 to 2, warm start
0.2, Adam at 1e-3) but for the number of steps, and with all inputs in every step. Integer inputs: no product is rounded twice.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

STEPS = 2000
OUT = Path(__file__).resolve().parent.parent / "data" / "adaround_torch.npz"


def beta(step: int) -> float:
    """20 to 2 along half a cosine, after the warm start."""
    warm = 0.2 * STEPS
    return 2 + 0.5 * (20 - 2) * (1 + math.cos(math.pi * (step - warm) / (STEPS - warm)))


def adaround(w: torch.Tensor, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Final alpha of the weights w (N, K), with a scale a row."""
    floor = torch.floor(w / scale)
    fraction = w / scale - floor
    alpha = (-torch.log(1.2 / (fraction + 0.1) - 1)).requires_grad_()
    optimizer = torch.optim.Adam([alpha], lr=1e-3)
    for step in range(STEPS):
        h = torch.clamp(torch.sigmoid(alpha) * 1.2 - 0.1, 0, 1)
        loss = ((x @ (w - (floor + h) * scale).T) ** 2).sum(1).mean()
        if step >= 0.2 * STEPS:
            loss = loss + 0.01 * (1 - (2 * h - 1).abs() ** beta(step)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return alpha.detach()


def main() -> None:
    """int4, a scale a row of amax / 7, once to float32; the largest weight of each row is at its edge."""
    rng = np.random.default_rng(2026)
    w = (rng.integers(-2000, 2001, (12, 32)) / 4096).astype(np.float32)
    w[:, 0] = 0.5
    x = rng.integers(0, 16, (100, 32)).astype(np.float32) / 16
    x[:, 16:] = (x[:, 16:] + x[:, :16]) / 2
    scale = np.full((12, 1), np.float32(0.5 / 7), np.float32)
    alpha = adaround(*(torch.from_numpy(a.astype(np.float64)) for a in (w, x, scale))).numpy()
    np.savez_compressed(OUT, w=w, x=x, alpha=alpha, steps=STEPS, torch=torch.__version__)
    print(
        f"{OUT}: {OUT.stat().st_size} bytes, {np.count_nonzero(alpha >= 0)} of {alpha.size} up, nearest to 0 {np.abs(alpha).min():.3g}"
    )


if __name__ == "__main__":
    main()

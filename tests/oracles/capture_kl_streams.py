"""Capture what nvidia-modelopt's and onnxruntime's histogram collectors make of several batches: tests/data/kl_streams.npz.

    python tests/oracles/capture_kl_streams.py tests/data/kl_streams.npz

needs nvidia-modelopt 0.47 with torch, and onnxruntime 1.32. Batches grow and shrink, so that the grids are extended; both stacks
at 2048 bins, 8 bits (onnxruntime: entropy, 128 quantized bins, symmetric=False).
"""

import contextlib
import io
import sys

import numpy as np
import torch
from modelopt.torch.quantization.calib.histogram import HistogramCalibrator
from onnxruntime.quantization.calibrate import HistogramCollector

SCALES = {"grow": (1, 1.5), "shrink": (4, 2, 1), "mixed": (1.5, 0.5, 2, 1), "slow": (1, 1.05, 1.1, 0.9, 1.2)}
DRAW = {"gauss": lambda r: r.standard_normal(3000), "relu": lambda r: np.maximum(r.standard_normal(3000), 0)}


def main(path: str) -> None:
    out = {}
    for s, (name, scales) in enumerate(SCALES.items()):
        for d, (kind, draw) in enumerate(DRAW.items()):
            rng = np.random.default_rng(100 * s + d)
            batches = np.stack([(draw(rng) * scale).astype(np.float32) for scale in scales])
            key = f"{name}_{kind}"
            out[f"x_{key}"] = batches
            m = HistogramCalibrator(num_bits=8, axis=None, unsigned=False, num_bins=2048)
            for batch in batches:
                m.collect(torch.from_numpy(batch.copy()))
            out[f"modelopt_counts_{key}"] = m._calib_hist.numpy().astype(np.int64)
            out[f"modelopt_edges_{key}"] = m._calib_bin_edges.numpy()
            out[f"modelopt_percentile_{key}"] = np.float64(m.compute_amax("percentile", percentile=99.9))
            out[f"modelopt_entropy_{key}"] = np.float64(m.compute_amax("entropy"))
            with contextlib.redirect_stdout(io.StringIO()):
                c = HistogramCollector("entropy", False, num_bins=2048, num_quantized_bins=128, percentile=99.9, scenario="same")
                for batch in batches:
                    c.collect({"x": batch})
                result = c.compute_collection_result()["x"]
            out[f"ort_counts_{key}"] = c.histogram_dict["x"][0].astype(np.int64)
            out[f"ort_edges_{key}"] = np.asarray(c.histogram_dict["x"][1])
            out[f"ort_entropy_{key}"] = np.array([float(result[0]), float(result[1])])
    np.savez_compressed(path, **out)


if __name__ == "__main__":
    main(sys.argv[1])

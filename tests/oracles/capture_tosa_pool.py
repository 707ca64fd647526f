"""Capture AVG_POOL2D of the TOSA reference model: int8 and int16, zero points, windows cut by the border.

Run in an environment of its own: pip install --no-deps tosa-tools==2026.8.0; pip install numpy flatbuffers ml_dtypes jsonschema semver.
Writes tests/data/ops/tosa_pool.npz. Nothing of qsim is used.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent.parent / "data" / "ops"
MODEL = Path(sys.executable).parent / "tosa_reference_model"
PLANS: list[dict[str, Any]] = [
    {"type": "int8", "shape": (1, 9, 8, 3), "span": (-128, 127), "window": (3, 3), "pads": (1, 1, 1, 1), "zeros": (0, 0)},
    {"type": "int8", "shape": (1, 12, 13, 4), "span": (-4, 4), "window": (2, 2), "pads": (0, 1, 0, 1), "zeros": (0, 0)},
    {"type": "int8", "shape": (1, 12, 13, 4), "span": (-4, 4), "window": (2, 4), "pads": (1, 0, 2, 1), "zeros": (3, -5)},
    {"type": "int8", "shape": (1, 10, 11, 4), "span": (-2, 2), "window": (4, 4), "pads": (2, 1, 1, 2), "zeros": (-1, 7)},
    {"type": "int8", "shape": (1, 24, 24, 2), "span": (-2, 2), "window": (5, 6), "pads": (4, 4, 5, 5), "zeros": (0, 0)},
    {"type": "int8", "shape": (1, 12, 12, 3), "span": (-128, 127), "window": (2, 2), "pads": (0, 0, 0, 0), "zeros": (-128, 127)},
    {"type": "int16", "shape": (1, 12, 11, 3), "span": (-32768, 32767), "window": (2, 4), "pads": (1, 0, 1, 2), "zeros": (0, 0)},
    {"type": "int16", "shape": (1, 12, 11, 3), "span": (-3, 3), "window": (2, 3), "pads": (1, 1, 1, 1), "zeros": (0, 0)},
    {"type": "int16", "shape": (1, 59, 281, 1), "extra": 32766, "window": (59, 281), "pads": (0, 0, 0, 0), "zeros": (0, 0)},
    {"type": "int16", "shape": (1, 59, 281, 1), "extra": -32767, "window": (59, 281), "pads": (0, 0, 0, 0), "zeros": (0, 0)},
]  # fmt: skip


def image_of(plan: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
    """Random codes, or just under a tie: `extra`, with as many of the next code as leave the mean half a tap below or above."""
    if "extra" in plan:
        x = np.full(plan["shape"], plan["extra"])
        ones = x.size // 2 + (plan["extra"] < 0)
        x.reshape(-1)[:ones] += 1
        return x.astype(plan["type"])
    low, high = plan["span"]
    return rng.integers(low, high + 1, plan["shape"]).astype(plan["type"])


def run(plan: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """One AVG_POOL2D, stride 1."""
    import tosa_serializer as ts
    from tosa import Op

    kind = {"int8": ts.DType.INT8, "int16": ts.DType.INT16}[plan["type"]]
    with tempfile.TemporaryDirectory() as folder:
        graph = ts.TosaSerializer(folder)
        image = graph.addPlaceholder(list(x.shape), kind, x)
        zeros = [graph.addConst([1], kind, [z]) for z in plan["zeros"]]
        t, b, left, right = plan["pads"]
        kh, kw = plan["window"]
        out = graph.addOutput([1, x.shape[1] + t + b - kh + 1, x.shape[2] + left + right - kw + 1, x.shape[3]], kind)
        attribute = ts.TosaSerializerAttribute()
        attribute.AvgPool2dAttribute([kh, kw], [1, 1], list(plan["pads"]), ts.DType.INT32)
        graph.addOperator(Op.Op().AVG_POOL2D, [image.name, *(z.name for z in zeros)], [out.name], attribute)
        (Path(folder) / "test.tosa").write_bytes(graph.serialize())
        np.save(Path(folder) / "in.npy", x)
        subprocess.run(
            [MODEL, "--tosa_file=test.tosa", f"--flatbuffer_dir={folder}", f"--output_dir={folder}", f"--ifm_name={image.name}",
             "--ifm_file=in.npy", f"--ofm_name={out.name}", "--ofm_file=out.npy", "--tosa_level=NONE"], check=True, cwd=folder,
        )  # fmt: skip
        return np.load(Path(folder) / "out.npy")


def main() -> None:
    """All plans."""
    rng = np.random.default_rng(20261124)
    arrays, cases = {}, []
    for i, plan in enumerate(PLANS):
        x = image_of(plan, rng)
        y = run(plan, x)
        assert y.min() >= np.iinfo(x.dtype).min
        assert y.max() <= np.iinfo(x.dtype).max
        arrays |= {f"t{i}_x": x, f"t{i}_y": y.astype(x.dtype)}
        cases.append({"name": f"t{i}", "op": "AVG_POOL2D", **{k: list(plan[k]) for k in ("window", "pads", "zeros")}})
    np.savez_compressed(HERE / "tosa_pool.npz", cases=np.array(json.dumps(cases)), **arrays)
    print(sum(v.size for k, v in arrays.items() if k.endswith("_y")), (HERE / "tosa_pool.npz").stat().st_size)


if __name__ == "__main__":
    main()

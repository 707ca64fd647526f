"""The cases of golden/requantize through real runtimes -> tests/data/requantize/suites.json.

Run in the environment of capture_requantize.py; nothing of qsim is used. A case is one channel of a convolution whose input is 0, so
that the bias is the accumulator. Only cases that a runtime can be given: clamps of the whole range, multipliers with the top bit set.
A multiplier of 31 bits is the product of two float32 scales, found by search.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from capture_requantize import litert_model, litert_run, onnx_run

ROOT = Path(__file__).resolve().parent.parent.parent
OUT = ROOT / "tests" / "data" / "requantize" / "suites.json"


def signed(text: str, bits: int) -> int:
    """A port's value."""
    value = int(text, 16)
    return value - (1 << bits) if value >> (bits - 1) else value


def factors(multiplier: int, shift: int) -> tuple[float, float, float] | None:
    """Scales of input, weight and output whose quotient becomes this multiplier and shift in TFLite's QuantizeMultiplier."""
    rng = np.random.default_rng(multiplier)
    for a in rng.integers(1 << 23, 1 << 24, 20000).tolist():
        b = round((multiplier << 16) / a)
        if b < 1 << 24 and abs(a * b - (multiplier << 16)) < 1 << 14:
            return a * 2.0**-23, b * 2.0**-24, 2.0**-shift
    return None


def outputs(name: str, case: dict[str, str]) -> dict[str, int] | None:
    """What each runtime gives; None for a case that cannot be given to it."""
    if (case["clamp_low"], case["clamp_high"]) != ("0x80", "0x7f"):
        return None
    bias, zero = np.array([signed(case["acc"], 32)], np.int32), signed(case["out_zero_point"], 8)
    if name == "tflite_conv":
        multiplier, shift = signed(case["multiplier"], 32), signed(case["shift"], 6)
        scales = factors(multiplier, shift) if multiplier >= 1 << 30 else None
        return {"LiteRT reference": int(litert_run(litert_model("conv", bias, scales, zero), "ref")[0])} if scales else None
    scale = np.array([int(case["scale"], 16)], np.uint32).view(np.float32)[0]
    scales = (float(scale), 1.0, 1.0)
    if name == "onnxruntime_int8":
        return {"onnxruntime": int(onnx_run(bias, scales, zero)[0])}
    if not 2.0**-32 <= scale < 256:  # XNNPACK refuses others
        return None
    return {"LiteRT XNNPACK": int(litert_run(litert_model("conv", bias, scales, zero), "xnnpack")[0])}


def main() -> None:
    """Every suite: id of the case, its inputs, outputs."""
    saved = {}
    for path in sorted((ROOT / "golden" / "requantize").glob("*.json")):
        cases = json.loads(path.read_text())["cases"]
        rows = []
        for case in cases:
            found = outputs(path.stem, case)
            if found:
                inputs = {p: case[p] for p in ("acc", "multiplier", "shift", "scale", "out_zero_point") if p in case}
                rows.append(inputs | found)
        saved[path.stem] = rows
        print(path.stem, len(rows), "of", len(cases))
    lines = ",\n".join(f"{json.dumps(k)}: [\n" + ",\n".join(json.dumps(r) for r in v) + "]" for k, v in saved.items())
    OUT.write_text("{" + lines + "}\n")


if __name__ == "__main__":
    main()

"""All 2^32 float32 inputs: codes of qsim.encode against ml_dtypes (numpy for fp16). Not run by CI: about a minute a format.

    PYTHONPATH=. python tests/oracles/exhaustive_floats.py [FORMAT ...]

Each format finished writes its row of docs/evidence/exhaustive_floats.md, so that a run may stop and go on with the formats left.
NaN inputs are counted apart: ml_dtypes gives FP6 and FP4 some number where qsim refuses, so those are not compared there.
"""

import datetime
import platform
import subprocess
import sys
import time
from pathlib import Path

import ml_dtypes
import numpy as np
from tqdm import trange

import qsim

REPORT = Path(__file__).parents[2] / "docs" / "evidence" / "exhaustive_floats.md"
CHUNK = 1 << 22
ORACLES = {
    "fp8_e4m3": ml_dtypes.float8_e4m3fn,
    "fp8_e5m2": ml_dtypes.float8_e5m2,
    "fp6_e3m2": ml_dtypes.float6_e3m2fn,
    "fp6_e2m3": ml_dtypes.float6_e2m3fn,
    "fp4_e2m1": ml_dtypes.float4_e2m1fn,
    "fp16": np.float16,
    "bf16": ml_dtypes.bfloat16,
}


def git(*args: str) -> str:
    """Output of a git command in the repository."""
    return subprocess.run(["git", *args], capture_output=True, text=True, cwd=REPORT.parents[2], check=True).stdout.strip()


#: Taken at start, when the kernels load: the commit, and whether qsim/kernels or qsim/codec differ from it.
STATE = git("rev-parse", "--short", "HEAD") + (", modified" if git("status", "--porcelain", "qsim/kernels", "qsim/codec") else "")
HEADER = """# Every float32 value

`python tests/oracles/exhaustive_floats.py`: codes of `qsim.encode(x, FORMAT)` for all 2^32 float32 bit patterns, against the
conversion of ml_dtypes (numpy for fp16), raw bits compared. Not NaN: 4 278 190 082 inputs, both infinities included.
NaN: 16 777 214 inputs; `lost` counts those whose code is no NaN in one of the two, `other bits` those with another sign or payload.
FP6 and FP4 have no NaN: qsim refuses the input (rule R3), so it is not compared.

| format | against | not NaN: compared | not NaN: mismatches | NaN: compared | NaN: lost | NaN: other bits | seconds | date, machine, versions |
|---|---|---|---|---|---|---|---|---|
"""


def is_nan_code(codes: np.ndarray, name: str) -> np.ndarray:
    """Which codes are NaN, from the format's description alone."""
    element = qsim.load_format(name).element
    magnitude = codes & np.array((1 << (element.bits - 1)) - 1, codes.dtype)
    return magnitude > (element.max_code if element.inf_code is None else element.inf_code)


def compare(name: str) -> list[object]:
    """The row of one format."""
    oracle, has_nan = ORACLES[name], qsim.load_format(name).element.specials != "none"
    counts = np.zeros(5, np.int64)
    started = time.perf_counter()
    for chunk in trange((1 << 32) // CHUNK, desc=name, mininterval=5):
        u = np.arange(chunk * CHUNK, (chunk + 1) * CHUNK, dtype=np.uint32)
        nan = (u & 0x7FFFFFFF) > 0x7F800000
        some_nan = bool(nan.any())
        if some_nan and not has_nan:
            u, nan = u[~nan], np.zeros(np.count_nonzero(~nan), bool)
        x = u.view(np.float32)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            theirs = x.astype(oracle)
        ours = qsim.encode(x, name).codes
        theirs = theirs.view(ours.dtype)
        counts[:2] += len(u) - np.count_nonzero(nan), np.count_nonzero((ours != theirs) & ~nan)
        if some_nan and has_nan:
            a, b = ours[nan], theirs[nan]
            lost = np.count_nonzero(~is_nan_code(a, name) | ~is_nan_code(b, name))
            counts[2:] += len(a), lost, np.count_nonzero(a != b)
    seconds = round(time.perf_counter() - started)
    package = "numpy" if oracle is np.float16 else "ml_dtypes"
    versions = f"qsim {qsim.__version__}, numpy {np.__version__}, ml_dtypes {ml_dtypes.__version__}"
    where = f"{datetime.date.today()}, {platform.machine()}, {versions}, kernels of {STATE}"
    return [name, f"{package}.{np.dtype(oracle).name}", *counts.tolist(), seconds, where]


def record(row: list[object]) -> None:
    """Put the row into the report, in the order of ORACLES, instead of an older one of the same format."""
    rows = {}
    if REPORT.exists():
        lines = [line for line in REPORT.read_text().splitlines() if line.startswith("| ")]
        rows = {line.split(" | ")[0].removeprefix("| "): line for line in lines}
    rows[str(row[0])] = "| " + " | ".join(map(str, row)) + " |"
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(HEADER + "\n".join(rows[name] for name in ORACLES if name in rows) + "\n")


if __name__ == "__main__":
    names = sys.argv[1:] or list(ORACLES)
    if unknown := sorted(set(names) - set(ORACLES)):
        raise SystemExit(f"unknown format {', '.join(unknown)}; allowed: {', '.join(ORACLES)}")
    qsim.set_num_threads(1)
    for fmt in names:
        result = compare(fmt)
        record(result)
        print(*result)

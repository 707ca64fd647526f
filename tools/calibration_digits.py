"""Write qsim/explore/digits_calibration.npz: training images to calibrate the embedded network with.

    python tools/calibration_digits.py

The first 512 of the 1397 training images in the order of tools/train_digits.py, none of which is a test image.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from train_digits import SEED, split

IMAGES = 512
FOLDER = Path(__file__).resolve().parent.parent / "qsim" / "explore"


def main() -> None:
    """Choose and write."""
    digits = load_digits()
    chosen = split(len(digits.images))[1][:IMAGES]
    provenance = (
        "Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak, UCI Machine Learning Repository, 1998, "
        "doi:10.24432/C50P49, CC BY 4.0), from the copy that scikit-learn (BSD-3-Clause) distributes as load_digits: the first "
        f"{IMAGES} training images of the permutation with seed {SEED} (tools/train_digits.py)."
    )
    target = FOLDER / "digits_calibration.npz"
    np.savez_compressed(target, images=digits.images[chosen].astype(np.uint8), provenance=np.array(provenance))
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()

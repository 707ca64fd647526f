"""The one decorator of all kernels: compiled on first use, cached under a digest of every kernel source.

numba keys its cache by the file of the function alone, so that a changed helper in another file would serve old bits.
Here each state of the sources has a cache folder of its own.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import config

JIT = not config.DISABLE_JIT


@cache
def cache_folder() -> str | None:
    """Folder for compiled code: QSIM_CACHE_DIR, NUMBA_CACHE_DIR or the user's cache, then the digest; None: not writable."""
    digest = hashlib.sha256(f"{numba.__version__}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    root = os.environ.get("QSIM_CACHE_DIR") or os.environ.get("NUMBA_CACHE_DIR")
    if not root:
        root = str(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qsim")
    folder = Path(root) / digest.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return str(folder) if os.access(folder, os.W_OK) else None


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """njit without the GIL and without fastmath, cached."""
    folder = cache_folder() if JIT else None
    before = config.CACHE_DIR
    try:
        config.CACHE_DIR = folder or ""
        return numba.njit(nogil=True, cache=folder is not None, error_model="numpy")(function)
    finally:
        config.CACHE_DIR = before


def helper(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that only kernels call: compiled into them, never cached by itself."""
    return numba.njit(nogil=True, error_model="numpy")(function)

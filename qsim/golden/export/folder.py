"""An exported folder is written beside its place and moved there whole; what stood there must be an export too."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from qsim.golden.export.manifest import MANIFEST, read_manifest


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files as the folder's only contents; ValueError where it holds something else, OSError names the file."""
    check_place(folder)
    part, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{end}") for end in ("part", "old"))
    try:
        part.mkdir()
        for name, data in files.items():
            _write(part / name, data)
        if folder.exists():
            folder.replace(old)
            try:
                part.replace(folder)
            except OSError:
                old.replace(folder)
                raise
        else:
            part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def check_place(folder: Path) -> None:
    """ValueError unless the folder is absent, empty, or an earlier export with nothing else in it."""
    if not folder.resolve().parent.is_dir():
        raise ValueError(f"{folder}: no folder {folder.parent}")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ValueError(f"{folder}: is a file; a folder is needed")
    found = sorted(path.name for path in folder.iterdir())
    if not found:
        return
    if MANIFEST not in found:
        raise ValueError(f"{folder}: holds {found[0]}, and is no earlier export; allowed: a new or empty folder")
    known = {MANIFEST, *read_manifest(folder)["files"]}
    if others := [name for name in found if name not in known]:
        raise ValueError(f"{folder}: holds {others[0]}, which the earlier export did not write; allowed: another folder")


def _write(path: Path, data: bytes) -> None:
    """On the disk, or an OSError that names the file."""
    try:
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or "not written", str(path)) from None

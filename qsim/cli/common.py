"""What the commands share: errors in one line, files written whole or not at all, numbers as text."""

from __future__ import annotations

import errno
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import click

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # raised by a write, which knows no file name
USER_ERRORS = (ValueError, TypeError, OSError, EOFError, MemoryError, OverflowError, BadZipFile, zlib.error)


class UserError(click.ClickException):
    """Bad use or bad input: `Error: ...` on stderr, exit code 2."""

    exit_code = 2


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what a user can cause into UserError; a broken pipe is left to click."""
    try:
        yield
    except BrokenPipeError:
        raise
    except USER_ERRORS as error:
        raise UserError(error_text(error)) from error


def error_text(error: BaseException) -> str:
    """The message of an exception, with the file of an OSError and the kind of one that says nothing."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


@contextmanager
def written(*paths: Path) -> Iterator[tuple[IO[bytes], ...]]:
    """Open files beside `paths` and move all of them into place only when everything has been written.

    A symbolic link stays, the file it names is replaced. A device or a pipe is written to: it cannot be replaced.
    """
    try:
        with ExitStack() as stack:
            files, moves = [], []
            for path in paths:
                if path.is_dir():
                    raise ValueError(f"{path}: is a folder; a file is needed")
                if not path.parent.is_dir():
                    raise ValueError(f"{path}: no folder {path.parent}")
                target = path.resolve()
                if target.exists() and not target.is_file():
                    files.append(stack.enter_context(target.open("wb")))
                    continue
                part = target.with_name(f".{target.name}.{os.getpid()}.part")
                stack.callback(_remove, part)
                files.append(stack.enter_context(part.open("xb")))
                moves.append((files[-1], part, target))
            yield tuple(files)
            for file in files:
                file.flush()
            for file, _, _ in moves:
                os.fsync(file.fileno())  # a full disk is an error here, before anything is replaced
            for _, part, target in moves:
                part.replace(target)
    except OSError as error:  # of a write, or of closing a file that still holds what could not be written
        if error.errno in FULL and not error.filename:
            error.filename = ", ".join(str(path) for path in paths)
        raise


def refuse_overwrite(out: Path, *sources: Path) -> None:
    """ValueError where an output is one of the inputs."""
    for source in sources:
        if out.exists() and source.exists() and out.samefile(source):
            raise ValueError(f"{out}: is the input {source}; an input is never overwritten, allowed: another name")


def _remove(part: Path) -> None:
    with suppress(FileNotFoundError):
        part.unlink()


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(rows: list[list[Any]], headers: list[str], **how: Any) -> None:
    """A table on stdout; cells stand as they are."""
    from tabulate import tabulate

    click.echo(tabulate(rows, headers=headers, disable_numparse=True, **how))

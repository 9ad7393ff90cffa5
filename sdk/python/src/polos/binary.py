"""The `polos` program: where it is, and whether it fits."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from polos.errors import BinaryMissing
from polos.version import VERSION

_ASK = 10.0
"""How long the program may take to say its version."""


def find() -> Path:
    """The `polos` program of this version: in `POLOS_BINARY`, the package `polos-bin`, a build of
    this repository, or PATH. A misfit version is refused, showing both."""
    for path, source in _candidates():
        version = version_of(path)
        if version != VERSION:
            raise BinaryMissing(
                f"`{path}` ({source}) is version {version}, but this package is version {VERSION}",
                hint=f"install both in one version: `pip install 'polos[server]=={VERSION}'`, or set "
                "POLOS_BINARY to a fitting one",
            )
        return path
    raise BinaryMissing(
        "the `polos` program was not found: neither POLOS_BINARY, the package `polos-bin`, nor PATH "
        "has it",
        hint="`pip install 'polos[server]'` brings it; or set POLOS_URL to a running server",
    )


def _candidates() -> Iterator[tuple[Path, str]]:
    named = os.environ.get("POLOS_BINARY")
    if named:
        path = Path(named)
        if not path.is_file():
            raise BinaryMissing(f"POLOS_BINARY names `{named}`, which is not there")
        yield path, "POLOS_BINARY"
    packaged = _of_package()
    if packaged is not None:
        yield packaged, "the package `polos-bin`"
    built = _of_repository()
    if built is not None:
        yield built, "a build of this repository"
    on_path = shutil.which("polos")
    if on_path:
        yield Path(on_path), "PATH"


def _of_package() -> Path | None:
    """The scripts directory into which the wheel `polos-bin` puts the program."""
    from importlib import metadata

    try:
        files = metadata.files("polos-bin") or []
    except metadata.PackageNotFoundError:
        return None
    names = ("polos", "polos.exe")
    found = (Path(str(file.locate())).resolve() for file in files if file.name in names)
    return next((path for path in found if path.is_file()), None)


def _of_repository() -> Path | None:
    root = next(
        (up for up in Path(__file__).resolve().parents if (up / "Cargo.lock").is_file()), None
    )
    if root is None:
        return None
    target = Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
    built = [*target.glob("*/polos"), *target.glob("*/*/polos")]
    programs = [path for path in built if path.is_file() and os.access(path, os.X_OK)]
    return max(programs, key=lambda path: path.stat().st_mtime, default=None)


def version_of(path: Path) -> str:
    """What the program says of itself."""
    try:
        said = subprocess.run(
            [str(path), "--version"], capture_output=True, text=True, timeout=_ASK, check=True
        )
    except (OSError, subprocess.SubprocessError) as cause:
        raise BinaryMissing(f"`{path}` does not run: {cause}") from cause
    words = said.stdout.split()
    return words[1] if len(words) > 1 else said.stdout.strip()

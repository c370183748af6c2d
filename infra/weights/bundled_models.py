"""The small models that come with the project, wherever its code lies on a node."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "bundled"
PREFIX = "bundled:"


def bundled_folder(name: str) -> str | None:
    """Return the folder of a bundled model, or None if there is none of that name."""
    folder = FOLDER / name
    return str(folder) if name and folder.parent == FOLDER and folder.is_dir() else None


def bundled_names() -> list[str]:
    """Return the names of the bundled models."""
    return sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def portable_source(path: str) -> str:
    """Write the path of a bundled file so that it means the same on every node; other paths stand."""
    file = Path(path)
    return PREFIX + file.relative_to(FOLDER).as_posix() if file.is_relative_to(FOLDER) else path


def located_source(source: str) -> str:
    """Undo `portable_source` on this node."""
    return str(FOLDER / source.removeprefix(PREFIX)) if source.startswith(PREFIX) else source

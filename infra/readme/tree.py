"""The commented tree in README.md, made of the first line of every package's and recipe's docstring.

Use: python -m infra.readme.tree README.md
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from infra.readme.marks import Marks

MARKS = Marks("<!-- tree: written by make tree -->", "<!-- end of the tree -->")
ROOT = Path(__file__).resolve().parents[2]
TOP = {
    "pipelines": "the jobs, each readable from top to bottom; `vpb JOB` runs them",
    "operators": "what happens to a row, by step; imports neither ray nor infra",
    "infra": "where it runs and where bytes live",
    "tests": "mirrors both; parity/ holds pixels and scores to the reference programs",
}
# Rooms in the order in which a row or a job meets them; others follow by name.
FLOW = (
    *("datasets", "segment", "prompts", "foveal", "encode", "relations", "score", "tasks"),
    *("methods", "tables", "pictures", "rows", "pixels"),
    *("run", "dataset", "execution", "files"),
)
WIDTH = 24


def tree(root: Path = ROOT) -> str:
    """Return the tree as a Markdown block of code."""
    return "\n".join(["```", *_lines(root), "```"]) + "\n"


def _lines(root: Path) -> Iterator[str]:
    for top, comment in TOP.items():
        yield f"{top + '/':<{WIDTH}}{comment}"
        if top == "pipelines":
            yield from (_line(file.name, file, 1) for file in sorted((root / top).glob("[a-z]*.py")))
        elif top != "tests":
            yield from _packages(root / top, 1)


def _packages(folder: Path, depth: int) -> Iterator[str]:
    for package in sorted((path.parent for path in folder.glob("*/__init__.py")), key=_place):
        yield _line(package.name + "/", package / "__init__.py", depth)
        yield from _packages(package, depth + 1)


def _place(package: Path) -> tuple[int, str]:
    return (FLOW.index(package.name) if package.name in FLOW else len(FLOW)), package.name


def _line(name: str, file: Path, depth: int) -> str:
    about = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return f"{'  ' * depth + name:<{WIDTH}}{about.partition(chr(10))[0].rstrip('.')}".rstrip()


def main(readme: str) -> None:
    """Write the tree between the marks of a README."""
    file = Path(readme)
    file.write_text(MARKS.replaced(file.read_text(encoding="utf-8"), tree()), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

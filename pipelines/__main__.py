"""The command `vpb`: every recipe in this folder is a sub-command, named by its file (`vpb refcoco-full`).

Any beginning that no other recipe shares will do: `vpb refcoco`, `vpb quick`.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(argv: Sequence[str] | None = None) -> int:
    """Run the recipe that the first argument names, with the rest of the arguments."""
    asked, *rest = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    recipes = known_recipes()
    if asked in ("-h", "--help"):
        print(_help(recipes))
        return 0
    fitting = [asked] if asked in recipes else [name for name in recipes if name.startswith(asked)]
    if len(fitting) != 1:
        told = f"it may be {' or '.join(fitting)}" if fitting else f"there are {', '.join(recipes)}"
        print(f"error: vpb {asked}: no such job; {told}", file=sys.stderr)
        return 2
    (name,) = fitting
    sys.argv = [f"vpb {name}", *rest]  # what usage lines and run.json call the program
    return int(importlib.import_module(f"pipelines.{recipes[name].stem}").main(rest))


def known_recipes() -> dict[str, Path]:
    """Return the files of this folder that are recipes, by the name of their sub-command."""
    files = sorted(HERE.glob("[a-z]*.py"))
    return {file.stem.replace("_", "-"): file for file in files}


def about(recipe: Path) -> str:
    """Return the first line of a recipe's docstring, without importing it."""
    return (ast.get_docstring(ast.parse(recipe.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def _help(recipes: dict[str, Path]) -> str:
    width = max(map(len, recipes))
    lines = [f"  {name:<{width}}  {about(file)}" for name, file in recipes.items()]
    return "\n".join(["usage: vpb JOB [OPTIONS]; vpb JOB --help lists the options of a job", "", *lines])


if __name__ == "__main__":
    sys.exit(main())

"""Prints the requirements that pyproject.toml beside it names, with those of the extras given as arguments.

For images that get the packages and not the code.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(__file__).with_name("pyproject.toml").read_text(encoding="utf-8"))["project"]
for extra in (None, *sys.argv[1:]):
    listed = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    print("\n".join(listed))

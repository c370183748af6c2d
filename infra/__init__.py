"""Where the work runs and where its bytes live."""

import sys
from importlib.util import find_spec

# What every job imports before it can say anything.
AT_THE_START = ("fsspec", "numpy", "pyarrow", "pydantic", "rich", "tenacity", "tyro", "yaml")


def require_packages() -> None:
    """End with exit status 2 and the fix if this interpreter lacks what every job imports at its start."""
    missing = [name for name in AT_THE_START if find_spec(name) is None]
    if missing:
        print(f"error: {lacking(', '.join(missing))}", file=sys.stderr)
        print("exit 2 (bad input)", flush=True)
        raise SystemExit(2)


def lacking(names: str) -> str:
    """Say which interpreter lacks packages, and how it gets them."""
    return (
        f"the Python at {sys.executable} has no {names}; use the checkout's .venv/bin/python (make setup) or "
        "give this one the packages: pip install -c constraints.txt -e . in the checkout; on a cluster every "
        "node needs them, in its image or through the job's runtime environment"
    )

"""The front door to the catalogue: what a package of your own imports to add methods to it.

Advertise a module that calls `add` under the entry point group `visual_prompt_bench.methods`.
"""

from operators.methods.catalog import Row, add, find_method, find_rows
from operators.methods.method import Method

__all__ = ["Method", "Row", "add", "find_method", "find_rows"]

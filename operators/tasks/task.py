"""What a task is, and the tasks that there are.

Shards, masks, drawings, encoders, features, artifacts and executors know nothing of tasks. To add one, put a
file into this folder (or into a package of your own that is advertised under the entry point group
`visual_prompt_bench.tasks`) that calls `register`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from operators.methods.products import Load, Predictions, Report
from operators.rows.registry import Registry
from operators.tables.metrics import SplitCount

Scorer = Callable[[pa.Table, Sequence[Predictions], Load], Iterator[tuple[Predictions, pa.Table]]]
Counts = Mapping[tuple[str, str], SplitCount]


@dataclass(frozen=True)
class Task:
    """How stored features become counted answers.

    Attributes:
        name: as products have it.
        units: what is answered and counted (`expressions`).
        make_scorer: builds the operator from image rows and stored features to parts of predictions; it is
            given where to report to.
        count: right answers in parts of predictions, by (dataset, split).
    """

    name: str
    units: str
    make_scorer: Callable[[Report], Scorer]
    count: Callable[[Iterable[pa.Table]], Counts]


TASKS: Registry[Task] = Registry("task", home="operators.tasks", group="visual_prompt_bench.tasks")


def register(task: Task) -> Task:
    """Make a task known. Raises ValueError if its name is taken."""
    return TASKS.add(task.name, task)


def task_of(product: Predictions) -> Task:
    """Return the task that a product answers. Raises ValueError if there is none of that name."""
    return TASKS.find(product.task)

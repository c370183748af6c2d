"""Referring expressions: which of the candidate regions does an expression mean?

Texts are the captions of a split, scores become a distribution over the candidates, and the most probable one
is right if it overlaps a target by more than half (rec_scoring spec section 1).
"""

from __future__ import annotations

from operators.methods.products import Report
from operators.tables.metrics import count_predictions
from operators.tasks.task import Scorer, Task, register


def _make_scorer(report: Report) -> Scorer:
    from operators.score.operator import ScoreExpressions

    return ScoreExpressions(report=report)


register(Task(name="choose_region", units="expressions", make_scorer=_make_scorer, count=count_predictions))

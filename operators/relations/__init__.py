"""SCORE, with R: a parse becomes a tree of entities, then a distribution over boxes.

Source: rec_scoring spec section 10 (the method `parse` of the published programs).
"""

from operators.relations.execute import execute
from operators.relations.options import Relations
from operators.relations.predicates import BoxRelations
from operators.relations.program import Program, compile_expression, texts_needed
from operators.relations.sentence import ParseError

__all__ = [
    "BoxRelations",
    "ParseError",
    "Program",
    "Relations",
    "compile_expression",
    "execute",
    "texts_needed",
]

"""An independent, straight-line implementation of R: nothing of the project, no attempt at speed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

Boxes = list[list[float]]
LEFT, RIGHT = "left west leftmost western", "right rightmost east eastern"
SUPERLATIVES = [
    (LEFT.split(), "left"),
    (RIGHT.split(), "right"),
    (["above", "north", "top"], "above"),
    (["below", "south", "underneath", "front"], "below"),
    (["bigger", "biggest", "larger", "largest", "closer", "closest"], "bigger"),
    (["smaller", "smallest", "tinier", "tiniest", "further", "furthest"], "smaller"),
]
RELATIONS = [
    (["left", "west"], "left"),
    (["right", "east"], "right"),
    (["above", "north", "top", "back", "behind"], "above"),
    (["below", "south", "under", "front"], "below"),
    (["bigger", "larger", "closer"], "bigger"),
    (["smaller", "tinier", "further"], "smaller"),
    (["inside", "within", "contained"], "inside"),
]
NULL_WORDS = ["part", "image", "side", "picture", "half", "region", "section"]


def row_hit(rows: list, words: list[str]) -> str | None:
    """Return what the first row with any of the words means."""
    return next((meaning for keywords, meaning in rows if any(w in keywords for w in words)), None)


def holds(meaning: str, a: list[float], b: list[float]) -> np.float64:
    """Say how far box a stands in a relation to box b; x, y, w, h."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = a, b
    if meaning == "inside":
        across = min(ax + aw, bx + bw) - max(ax, bx)
        down = min(ay + ah, by + bh) - max(ay, by)
        return np.float64(max(across, 0) * max(down, 0) / (aw * ah))
    first, second = {
        "left": (ax + (ax + aw), bx + (bx + bw)),
        "right": (bx + (bx + bw), ax + (ax + aw)),
        "above": (ay + (ay + ah), by + (by + bh)),
        "below": (by + (by + bh), ay + (ay + ah)),
        "smaller": (aw * ah, bw * bh),
        "bigger": (bw * bh, aw * ah),
    }[meaning]
    return np.float64(first < second)


def related(parse: dict, text: str, boxes: Boxes, score: Callable[[str], np.ndarray]) -> np.ndarray:
    """Return the unnormalised distribution of R: spec rec_scoring 10.2 and 10.3 read aloud.

    `score` gives a phrase's pre-softmax score of every box.
    """
    words, heads, chunks = parse["tokens"], parse["heads"], parse["noun_chunks"]
    children = [[c for c in range(len(words)) if heads[c] == t and c != t] for t in range(len(words))]

    def chunk(token: int) -> dict | None:
        return next((c for c in reversed(chunks) if c["start"] <= token < c["end"]), None)

    def said(span: dict) -> str:
        return " ".join(words[span["start"] : span["end"]])

    def groups(tokens: list[int]) -> list[list[int]]:
        return [sorted(tokens)] if row_hit(SUPERLATIVES, [words[t] for t in tokens]) else []

    def walk(token: int, head: int, path: list[int]) -> tuple[list, list]:
        keyword = bool(row_hit(RELATIONS, [words[token]])) or words[token] in NULL_WORDS
        if chunk(token) is not None and chunk(token) is not chunk(head) and not keyword:
            return [(sorted(path), extract(token))], []
        if not children[token]:
            return [], groups([*path, token])
        keyword = keyword or bool(row_hit(SUPERLATIVES, [words[token]]))
        relations, superlatives = [], []
        for child in children[token]:
            same = chunk(token) is not None and chunk(token) is chunk(child)
            if same and not row_hit(SUPERLATIVES, [words[child]]):
                if len(children[token]) == 1:
                    superlatives += groups([*path, token])
                continue
            more = walk(child, head, [*path, token] if chunk(token) is None or keyword else path)
            relations, superlatives = relations + more[0], superlatives + more[1]
        return relations, superlatives

    def extract(head: int) -> tuple[dict, list, list] | None:
        if chunk(head) is None:
            if not children[head] or chunk(children[head][0]) is None:
                return None
            head = children[head][0]
        return (chunk(head), *walk(head, head, []))

    def expand(span: dict, other: dict) -> str:
        tokens = set(range(span["start"], span["end"]))
        for target in range(other["start"], other["end"]):
            stack, met = list(range(span["start"], span["end"])), False
            while stack:
                token = stack.pop()
                if token == target:
                    above = token
                    while heads[above] != above:
                        above = heads[above]
                        tokens.add(above)
                    stack, met = [], True
                if met:
                    tokens.add(token)
                stack += children[token]
        return " ".join(words[t] for t in sorted(tokens))

    def softmax(phrase: str) -> np.ndarray:
        return torch.softmax(torch.from_numpy(np.float32(score(phrase))).double(), 0).float().numpy()

    def run(entity: tuple[dict, list, list]) -> np.ndarray:
        span, relations, superlatives = entity
        phrase, factors = said(span), []
        for path, other in relations:
            meaning = row_hit(RELATIONS, [words[t] for t in path])
            if meaning is None:
                phrase = expand(span, other[0])
                continue
            q = run(other)
            factors.append(
                np.array([sum(holds(meaning, a, b) * q[j] for j, b in enumerate(boxes)) for a in boxes])
            )
        p = softmax(phrase)
        for factor in factors:
            p = p * factor / (p * factor).sum()
        largest, second = -np.sort(-p)[:2]
        if largest < np.inf * second:
            for group in superlatives:
                meaning = row_hit(SUPERLATIVES, [words[t] for t in group])
                won = [
                    sum(p[i] * p[j] * holds(meaning, a, b) for j, b in enumerate(boxes))
                    for i, a in enumerate(boxes)
                ]
                p = np.array(won) / sum(won)
        return p

    whole = softmax(text)
    entity = extract(next(t for t in range(len(words)) if heads[t] == t))
    if entity is None and chunks:
        inside = range(chunks[0]["start"], chunks[0]["end"])
        entity = extract(heads[next(t for t in inside if heads[t] not in inside or heads[t] == t)])
    if len(boxes) == 1 or entity is None or not row_hit([*RELATIONS, *SUPERLATIVES], words):
        return whole
    with np.errstate(all="ignore"):
        return whole * run(entity)

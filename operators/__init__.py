"""What happens to a row, step by step; imports neither ray nor infra.

`PUBLIC` lists the names that notebooks, plug-ins and other programs may rely on: they stay importable from
where they are, and a change of their meaning is said in CHANGELOG.md. Everything else may move.
"""

PUBLIC = (
    "operators.catalog:Method",
    "operators.catalog:Row",
    "operators.catalog:add",
    "operators.catalog:find_method",
    "operators.catalog:find_rows",
    "operators.datasets.registry:Dataset",
    "operators.datasets.registry:register",
    "operators.drawing:Drawn",
    "operators.drawing:draw",
    "operators.encode.encoder:EncoderKind",
    "operators.encode.encoder:register",
    "operators.prompts.canvas:Canvas",
    "operators.prompts.photo:Photo",
    "operators.prompts:find_prompt",
    "operators.prompts:registered_prompts",
    "operators.prompts:visual_prompt",
    "operators.segment.segmenter:SegmenterKind",
    "operators.segment.segmenter:register",
)

"""Train the small CLIP and SAM that come with the project, on synthetic scenes.

Example: python pipelines/train_shapes.py --out models --state models/checkpoints
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

from infra.options import main
from infra.training import TrainOptions, train_shapes

if __name__ == "__main__":
    sys.exit(main(TrainOptions, train_shapes))

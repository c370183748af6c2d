"""Let SAM propose regions (a grid of points) and write new shards with the proposal set `sam-grid`.

Example: python pipelines/propose_grid.py --data shards --out shards-grid --segmenter vit_h:published
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

from infra.grid import GridOptions, propose_grid
from infra.options import main

if __name__ == "__main__":
    sys.exit(main(GridOptions, propose_grid))

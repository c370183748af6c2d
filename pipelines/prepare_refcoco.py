"""Make shards from REFER or ReCLIP annotation files and a folder of COCO images.

Example: python pipelines/prepare_refcoco.py --refer refer/data --images train2014 --out shards
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

from infra.options import PrepareOptions, main
from infra.prepare import prepare

if __name__ == "__main__":
    sys.exit(main(PrepareOptions, prepare))

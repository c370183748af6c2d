"""Write randomly initialised checkpoints of real architectures, to try the system without a download.

Example: python pipelines/random_weights.py --models ViT-B-32 RN50 --out weights
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

from infra.options import main
from infra.random_weights import RandomWeightsOptions, write_random_weights

if __name__ == "__main__":
    sys.exit(main(RandomWeightsOptions, write_random_weights))

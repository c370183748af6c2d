"""Write the report of a finished run: tables, figures, what CLIP was shown, examples, provenance.

Example: python pipelines/report.py --run out/runs/20260101T120000.000000Z-0123456789ab
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

from infra.options import main
from infra.report import ReportOptions, report

if __name__ == "__main__":
    sys.exit(main(ReportOptions, report))

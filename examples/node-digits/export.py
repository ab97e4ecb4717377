"""Write `digits.bin`, the data of this example, from scikit-learn's copy: `python export.py`.

Each of the 1,797 images takes 65 bytes: its 8x8 pixels, 0 to 16, row by row, and then its digit.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

digits = load_digits()
records = np.column_stack([digits.data, digits.target]).astype(np.uint8)
Path(__file__).with_name("digits.bin").write_bytes(records.tobytes())

"""Makes the modules of bench/ importable."""

import pathlib
import sys

from support.own_network import pytest_configure  # noqa: F401

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

"""The parts of ``bench_wire.py``: our nodes, bare streams beside them, and what is measured of both."""

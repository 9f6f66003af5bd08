"""Suites of airspeed velocity, which tell whether a change made the paths that matter slower.

Run from ``benchmarks/``, ``asv run``; see ``docs/contributing.md``. Side-by-side figures against
other packages are those of ``speed.py``.
"""

"""Figures that are measured, never asserted: each module prints a table and can write it under reports/benchmarks/."""

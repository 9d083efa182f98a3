"""Choosing a format for every operator: the plan (`plan.py`), fixed rules that make one (`presets.py`), and edits."""

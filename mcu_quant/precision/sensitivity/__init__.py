"""Sensitivity: how much quality one operator costs in one format, one method per file."""

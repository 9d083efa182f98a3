"""Steps: what makes a given plan lose less, one method per file."""

"""One file per format in which reports are shown."""

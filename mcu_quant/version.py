"""The version of mcu-quant; pyproject.toml states the same one, which a test holds."""

VERSION = "0.1.0"

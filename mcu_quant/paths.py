"""Where the folders that are not Python lie: beside the package in a checkout, inside it in an installed wheel.

A wheel carries `templates/`, `firmware/` and `boards/` as package data under `mcu_quant/_data/`; a checkout has them
beside `mcu_quant/`, and an editable installation reads the checkout.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    """The folder of that name.

    Raises:
        FileNotFoundError: if the installation lacks it, with the places that were looked at.
    """
    places = (PACKAGE / "_data" / name, PACKAGE.parent / name)
    for place in places:
        if place.is_dir():
            return place
    raise FileNotFoundError(f"mcu-quant is not installed completely: neither {places[0]} nor {places[1]} exists")


def templates() -> Path:
    """Jinja2 templates of the generated files."""
    return _folder("templates")


def firmware() -> Path:
    """C sources that do not depend on the model: `include/`, `kernels/<family>/`, `host/`."""
    return _folder("firmware")


def boards() -> Path:
    """One TOML file per board."""
    return _folder("boards")

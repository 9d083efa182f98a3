"""python -m mcu_quant: the command line."""

from mcu_quant.cli import main

if __name__ == "__main__":
    main(prog_name="mcu-quant")

"""A self-test onto a board and its log back: `image.py` builds it, `tools.py` knows the programs that flash,
`reader.py` runs them and waits for the log. `mcu_quant.api.board` puts them together.
"""

"""Every code of the catalogue on one page.

python -m bench.messages     # writes docs/messages.md
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from mcu_quant.diagnostics import CATALOGUE, FINDINGS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "messages.md"
KINDS = {
    "MQ1": "Reading a model",
    "MQ2": "Operators",
    "MQ3": "Precision and plans",
    "MQ4": "Data and pipelines",
    "MQ5": "Boards, limits and measurements",
    "MQ6": "Tools, emulators and boards at work",
    "MQ7": "Output",
    "MQ9": "The tool itself",
}

HEAD = """# Messages

Every problem has a code, and says where it is, what is wrong and what can be done. All problems are listed at once.
`mcu-quant explain CODE` prints one entry of this page; `--format json` gives messages to scripts. Exit status 1 is a
finding about the model (unsupported, does not fit, below the asked quality); 2 is usage, an input that cannot be used,
or a defect. This page is written by `python -m bench.messages`.

```
error[MQ502] my_board.toml: core.fpuu: unknown key 'fpuu'
  help: did you mean 'fpu'?
```
"""


def page() -> str:
    """docs/messages.md."""
    parts = [HEAD]
    for kind, codes in groupby(sorted(CATALOGUE), key=lambda code: code[:3]):
        parts.append(f"\n## {KINDS[kind]}\n")
        for code in codes:
            about = CATALOGUE[code]
            status = "a finding, exit status 1" if about.exit_status == FINDINGS else "exit status 2"
            parts.append(f"\n### {code}: {about.title}\n\n{about.explanation} ({status})\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE}: {len(CATALOGUE)} codes")

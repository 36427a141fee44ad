#!/usr/bin/env python3
"""Draws kubectl-guard/demo/demo.svg from what `demo` prints: a picture of the real output, made anew with one command.

    cargo run --release -p kubectl-guard -- demo | kubectl-guard/demo/picture.py > kubectl-guard/demo/demo.svg
"""

import sys
from html import escape

ADVANCE, LINE, MARGIN = 8.0, 18, 18
# Dark on light and light on dark, by the reader's own choice.
STYLE = """
  svg { font: 13px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; white-space: pre }
  rect { fill: #fbfbfa; stroke: #d5d5d0 } text { fill: #24292f }
  .command { font-weight: bold } .bad { fill: #b42318; font-weight: bold } .added { fill: #116329 } .note { fill: #6e7781 }
  @media (prefers-color-scheme: dark) {
    rect { fill: #16181d; stroke: #30363d } text { fill: #d7dbe0 }
    .bad { fill: #ff8a7a } .added { fill: #7ee2a8 } .note { fill: #8b949e }
  }
"""


def kind(line: str) -> str:
    if line.startswith("$ "):
        return "command"
    if " warning " in line or " critical " in line:
        return "bad"
    if line.lstrip().startswith("+"):
        return "added"
    if line.startswith(("Note:", "Nothing was", "see what")):
        return "note"
    return "plain"


def main() -> None:
    lines = [line.rstrip() for line in sys.stdin.read().strip("\n").split("\n")]
    width = max(map(len, lines)) * ADVANCE + 2 * MARGIN
    height = len(lines) * LINE + 2 * MARGIN
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" '
          f'height="{height}" role="img" aria-label="Output of kubectl guard demo">')
    print(f"<style>{STYLE}</style>")
    print(f'<rect x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1}" rx="8"/>')
    for number, line in enumerate(lines):
        if line:
            y = MARGIN + (number + 1) * LINE - 5
            # Block elements of a fallback font may be wider: the length is given, not hoped for.
            print(f'<text class="{kind(line)}" x="{MARGIN}" y="{y}" xml:space="preserve" '
                  f'textLength="{len(line) * ADVANCE:.0f}" lengthAdjust="spacing">{escape(line)}</text>')
    print("</svg>")


main()

"""Pictures of what the command shows, made by the command's own code from a recording that is kept for tests.

`screens()` gives SVG by file name. The font is the reader's: nothing is fetched from elsewhere.
"""

import io
import re
from pathlib import Path
from typing import Final

from rich.console import Console, RenderableType
from rich.text import Text

from clew.cli import moment, spans
from clew.replay.recording import read
from clew.views import state, timeline

RECORDING: Final = Path(__file__).parents[2] / "tests/replay/histories/tools.jsonl"
COLUMNS: Final = 110
FONT: Final = re.compile(r"\s*@font-face \{.*?\}\n", re.DOTALL)  # fetched from elsewhere


def screens() -> dict[str, str]:
    """Each picture by its file name."""
    events = list(read(RECORDING.read_text()).events)
    shown = state.at(events).model_dump(mode="json")
    drawn = timeline.timeline(events).model_dump(mode="json")
    header = [Text(f"{word:<8}", "dim") + Text(value) for word, value in moment.header(shown)]
    return {
        "run-view.svg": picture("clew run view RUN", [*header, moment.tree(shown, full=False)]),
        "run-timeline.svg": picture("clew run view RUN --timeline", list(spans.drawn(drawn))),
    }


def picture(command: str, shown: list[RenderableType]) -> str:
    """What a terminal shows of it, as SVG."""
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor", _environ={}
    )
    for one in shown:
        console.print(one, highlight=False, markup=False, emoji=False)
    return FONT.sub("\n", console.export_svg(title=command, unique_id="clew"))

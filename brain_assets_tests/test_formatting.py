"""Texts from outside do nothing where they are shown."""

import csv
import html
import io

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from brain_assets.formatting import in_csv, in_markdown, visible
from brain_assets.terminal import OurConsole

TEXTS = st.text() | st.text("\x1b[]|<>*_`\\&;#=+-@'\"\n\r\tAa1 ")


@given(TEXTS)
def test_a_terminal_shows_what_cannot_be_seen_and_does_nothing(text: str) -> None:
    shown = visible(text)
    assert shown.replace("\n", "").replace("\t", "").isprintable()
    assert visible(shown) == shown
    assert (shown == text) is text.replace("\n", "").replace("\t", "").isprintable()
    screen = io.StringIO()
    OurConsole(file=screen, force_terminal=True, color_system=None, width=10_000).print(text, markup=False)
    assert not set(screen.getvalue()) & {"\x1b", "\x07", "\x9b"}


@given(TEXTS)
def test_markdown_renders_the_text_itself(text: str) -> None:
    expected = visible(text).replace("\n", r"\n").replace("\t", r"\t")
    rendered = MarkdownIt("commonmark").enable("table").render(f"| a | b |\n|---|---|\n| x{in_markdown(text)}x | y |")
    cells = rendered.split("<td>")[1:]
    assert len(cells) == 2
    assert html.unescape(cells[0].removesuffix("</td>\n")) == f"x{expected}x"
    assert "<" not in cells[0].removesuffix("</td>\n")


@given(TEXTS)
def test_no_cell_of_a_csv_file_is_a_formula_and_no_symbol_changes(text: str) -> None:
    file = io.StringIO()
    csv.writer(file).writerow([in_csv(text), 1])
    [[cell, _]] = csv.reader(io.StringIO(file.getvalue(), newline=""))
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell.removeprefix("'") == text.removeprefix("'")
    assert [in_csv(symbol) for symbol in ("BRK.B", "BF-B", "^GSPC")] == ["BRK.B", "BF-B", "^GSPC"]

"""Lettering: which font of this machine draws which character, and lines of text.

A character is drawn only by a font that really has it, and is left out if none has: nobody
should meet the box of a missing glyph. A font has a character if it draws something for it,
and something else than for a character that does not exist.
Nothing here knows what a film is, and nothing is looked up before the first text.
"""

import functools
import itertools
import os
import re
import threading
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs
from PIL import ImageDraw, ImageFont, features

FONT_FOLDERS = (
    Path("~/.fonts"),
    Path("~/.local/share/fonts"),
    Path("/usr/local/share/fonts"),
    Path("/usr/share/fonts"),
    Path("/run/current-system/sw/share/X11/fonts"),  # NixOS
    Path("~/Library/Fonts"),
    Path("/Library/Fonts"),
    Path("/System/Library/Fonts"),
    Path("~/AppData/Local/Microsoft/Windows/Fonts"),
    Path("C:/Windows/Fonts"),
)
"""Where Linux, macOS and Windows keep fonts; a folder that is not there is passed over."""

# Our choice: a full TeX installation has thousands of fonts, and one character that no font
# has costs a look into every one of them (once, about 0.2 ms each, measured).
_MAX_FONTS = 300
_MAX_FILES_LISTED = 20_000

_SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")
# Plain faces made for screens, so that Latin text looks alike wherever one of them is found.
_PREFERRED = ("dejavusans", "notosans-regular", "segoeui", "sfns", "helvetica", "arial")
_STYLED = re.compile(
    r"bold|italic|oblique|light|thin|black|heavy|medium|condensed|narrow|mono|serif|math"
)
# These "have" every character on purpose, as a box or as nothing at all.
_LAST_RESORT = re.compile(r"last-?resort|adobe-?blank|notdef|tofu")

# No bitmap font is drawn at this size, so that asking for it fails; their strikes have round
# sizes, and what is drawn from them could not be drawn in ours.
_PROBE_PX = 37
# No font has it, so that it shows what stands for a missing glyph.
# Source: Unicode 16, 23.7, "Noncharacters".
_NO_CHARACTER = "\uffff"
_JOINERS = frozenset("\u200c\u200d")

_Look = tuple[tuple[int, int], bytes]


class Typeface:
    """One font: a file of this machine, or the one inside Pillow. Not safe under threads."""

    def __init__(self, path: Path | None) -> None:
        """Open nothing yet; ``None`` is Pillow's own font (Latin only)."""
        self._path = path
        self._answers: dict[str, bool] = {}

    def at(self, size_px: int) -> ImageFont.FreeTypeFont:
        """Load the font anew, so that no two threads share one of FreeType's faces."""
        if self._path is not None:
            return ImageFont.truetype(self._path, size_px)
        font = ImageFont.load_default(size=size_px)
        if isinstance(font, ImageFont.FreeTypeFont):
            return font
        raise RuntimeError("this Pillow was built without FreeType, which draws the text")

    def draws(self, character: str) -> bool:
        """Tell whether the font has *character*, and more than a blank for it."""
        if character not in self._answers:
            self._answers[character] = self._has(character)
        return self._answers[character]

    def _has(self, character: str) -> bool:
        if self._probe is None:
            return False
        try:
            look, missing = _look(self._probe, character), self._missing_look
        except (OSError, ValueError):  # a broken glyph
            return False
        # A missing character may look blank, and so does a coloured one without its colours.
        blank = not any(look[1]) and character != " " and character not in _JOINERS
        return not blank and look != missing

    @functools.cached_property
    def _probe(self) -> ImageFont.FreeTypeFont | None:
        try:
            # The plain layout takes one glyph for one character, and hides none.
            return self.at(_PROBE_PX).font_variant(layout_engine=ImageFont.Layout.BASIC)
        except (OSError, ValueError):  # a broken font, or one that has bitmaps only
            return None

    @functools.cached_property
    def _missing_look(self) -> _Look | None:
        look = _look(self._probe, _NO_CHARACTER) if self._probe else None
        # Nothing stands for a space too, and for a joiner.
        return look if look and any(look[1]) else None


def _look(font: ImageFont.FreeTypeFont, character: str) -> _Look:
    mask = font.getmask(character)
    return mask.size, bytes(mask)


class Typecase:
    """The fonts at hand, and which of them draws a character. Safe under threads.

    The folders are listed at the first question, each font is read when the ones before it
    lack a character, and every answer is remembered.
    """

    def __init__(self, folders: Iterable[Path] = FONT_FOLDERS) -> None:
        """Take *folders*, best first; they need not exist. Pillow's own font comes last."""
        self._folders = tuple(folders)
        self._answers: dict[str, Typeface | None] = {}
        self._lock = threading.Lock()

    def typeface(self, character: str) -> Typeface | None:
        """Return the first font that draws *character*, None if there is none."""
        with self._lock:
            if character not in self._answers:
                found = (face for face in self._typefaces if face.draws(character))
                self._answers[character] = next(found, None)
            return self._answers[character]

    def draws(self, typeface: Typeface, character: str) -> bool:
        """Tell whether *typeface*, one of these, draws *character*."""
        with self._lock:
            return typeface.draws(character)

    @functools.cached_property
    def _typefaces(self) -> tuple[Typeface, ...]:
        paths = sorted(_font_files(self._folders), key=_plainest_first)[:_MAX_FONTS]
        return (*map(Typeface, paths), Typeface(None))


@functools.cache
def machine_typecase() -> Typecase:
    """Return the fonts of this machine, the same object at each call."""
    return Typecase()


def _font_files(folders: Sequence[Path]) -> Iterator[Path]:
    listed = 0
    for folder in folders:
        for parent, _, names in os.walk(_home_expanded(folder)):
            listed += len(names)
            if listed > _MAX_FILES_LISTED:
                return
            for name in names:
                if name.lower().endswith(_SUFFIXES) and not _LAST_RESORT.search(name.lower()):
                    yield Path(parent, name)


def _home_expanded(folder: Path) -> Path:
    try:
        return folder.expanduser()
    except RuntimeError:  # a container's user without a home
        return folder


def _plainest_first(path: Path) -> tuple[int, int, str]:
    stem = path.stem.lower()
    preferred = _PREFERRED.index(stem) if stem in _PREFERRED else len(_PREFERRED)
    return preferred, len(_STYLED.findall(stem)), str(path)


@attrs.frozen
class Run:
    """Text that one font draws, and how far the pen moves for it."""

    font: ImageFont.FreeTypeFont
    text: str
    width_px: float


Line = tuple[Run, ...]
"""One line of text, its runs in the order in which they are read."""


@attrs.frozen(kw_only=True)
class Setting:
    """A text set in lines: what became of it, and what did not fit or could not be drawn."""

    lines: tuple[Line, ...]
    rightwards: bool
    """False if the text is read from right to left."""
    truncated: bool
    drawn: int
    """Characters (as readers count them, without spaces) that a font draws, cut off or not."""
    missing: int
    """Characters that no font draws."""


class Lettering:
    """Text in one size. Belongs to one thread; the `Typecase` may be shared."""

    def __init__(self, size_px: int, typecase: Typecase | None = None) -> None:
        """Set text *size_px* high with the machine's fonts, or with *typecase*."""
        self.size_px = size_px
        self.line_px: int = round(size_px * 1.36)
        self._typecase = typecase or machine_typecase()
        self._fonts: dict[Typeface, ImageFont.FreeTypeFont] = {}
        self._measures: dict[tuple[Typeface, str], Run] = {}

    def set(self, text: str, *, width_px: float, max_lines: int) -> Setting:
        """Break *text* into at most *max_lines*, the last with an ellipsis if it is cut.

        White space of any kind becomes one space. What no font draws is left out.
        """
        wanted = list(_characters(text))
        drawable = [run for run in self._runs(wanted) if run is not None]
        lines = list(itertools.islice(_broken(drawable, width_px), max_lines + 1))
        truncated = len(lines) > max_lines
        if truncated:
            lines[max_lines - 1 :] = [self._cut(lines[max_lines - 1], width_px)]
        drawn = sum(run.text != " " for run in drawable)
        return Setting(
            lines=tuple(_merged(line) for line in lines),
            rightwards=_reads_rightwards(text),
            truncated=truncated,
            drawn=drawn,
            missing=sum(character != " " for character in wanted) - drawn,
        )

    def _runs(self, characters: Iterable[str]) -> Iterator[Run | None]:
        """Yield one run for each character, None for one that no font draws."""
        typeface: Typeface | None = None
        after_space = True
        for character in characters:
            # What was left out leaves its spaces behind.
            if character == " " and after_space:
                continue
            run = self._run(character, typeface)
            yield run and run[1]
            if run:
                typeface, after_space = run[0], character == " "

    def _run(self, character: str, previous: Typeface | None) -> tuple[Typeface, Run] | None:
        # An accented letter without its accent, or three dots, is better than nothing.
        for spelling in (character, unicodedata.normalize("NFKD", character)):
            typeface = self._typeface(spelling, previous)
            if typeface:
                drawn = (part for part in spelling if self._typecase.draws(typeface, part))
                return typeface, self._measured(typeface, "".join(drawn))
        return None

    def _typeface(self, character: str, previous: Typeface | None) -> Typeface | None:
        faces = [self._typecase.typeface(part) for part in character]
        # Spaces, signs and digits go with the text before them: each change of font is a
        # change of style, and shaping and the order of mixed directions end there.
        for face in faces if character[0].isalpha() else (previous, *faces):
            if face and all(self._typecase.draws(face, part) for part in character):
                return face
        return faces[0]

    def _measured(self, typeface: Typeface, text: str) -> Run:
        if typeface not in self._fonts:
            self._fonts[typeface] = typeface.at(self.size_px)
        if (typeface, text) not in self._measures:
            self._measures[typeface, text] = _run(self._fonts[typeface], text)
        return self._measures[typeface, text]

    def _cut(self, line: list[Run], width_px: float) -> list[Run]:
        found = self._run("…", None)
        ellipsis = [found[1]] if found else []
        while line and _width_px((*line, *ellipsis)) > width_px:
            line = _trimmed(line[:-1])
        return [*line, *ellipsis]


def draw_line(
    draw: ImageDraw.ImageDraw,
    line: Line,
    sides_px: tuple[float, float],
    baseline_px: float,
    *,
    fill: tuple[int, int, int, int],
    rightwards: bool = True,
) -> None:
    """Draw *line* between *sides_px*, from the side at which it is read first."""
    left, right = sides_px
    for run in line:
        if not rightwards:
            right -= run.width_px
        # Only raqm takes a direction; without it, letters stand in the order they came in.
        shaped = run.font.layout_engine == ImageFont.Layout.RAQM
        direction = ("ltr" if rightwards else "rtl") if shaped else None
        at = (left if rightwards else right, baseline_px)
        draw.text(at, run.text, fill, run.font, anchor="ls", direction=direction)
        left += run.width_px


def _characters(text: str) -> Iterator[str]:
    """Yield what a reader counts as one character, with its marks; a space for white space."""
    cluster = ""
    for code in unicodedata.normalize("NFC", text):
        part = " " if code.isspace() else code
        if not _is_visible(part) or (part in _JOINERS and not cluster.strip()):
            continue
        if cluster.strip() and part != " " and (_joins(part) or cluster[-1] in _JOINERS):
            cluster += part
            continue
        if cluster:
            yield cluster
        cluster = part
    if cluster:
        yield cluster


def _is_visible(code: str) -> bool:
    """Sort out what has no picture: controls, variation selectors, unassigned code points."""
    if code in _JOINERS:
        return bool(features.check("raqm"))
    selector = "\ufe00" <= code <= "\ufe0f" or "\U000e0100" <= code <= "\U000e01ef"
    return not selector and unicodedata.category(code) not in {"Cc", "Cf", "Cn", "Co", "Cs"}


def _joins(code: str) -> bool:
    skin_tone = "\U0001f3fb" <= code <= "\U0001f3ff"
    return skin_tone or code in _JOINERS or unicodedata.category(code).startswith("M")


def _words(runs: Iterable[Run]) -> Iterator[list[Run]]:
    """Yield what stays together: up to a space, or one ideograph or other wide character."""
    word: list[Run] = []
    for run in runs:
        wide = unicodedata.east_asian_width(run.text[0]) in "WF"
        letter = unicodedata.category(run.text[0]) in {"Lo", "So"}
        if word and (word[-1].text == " " or (wide and letter)):
            yield word
            word = []
        word.append(run)
    if word:
        yield word


def _broken(runs: Iterable[Run], width_px: float) -> Iterator[list[Run]]:
    line: list[Run] = []
    for word in _words(runs):
        if line and _width_px(line) + _width_px(_trimmed(word)) > width_px:
            yield _trimmed(line)
            line = []
        for run in word:
            # A word that is longer than a line ends where the line does.
            if line and run.text != " " and _width_px(line) + run.width_px > width_px:
                yield _trimmed(line)
                line = []
            line.append(run)
    if line:
        yield _trimmed(line)


def _width_px(runs: Iterable[Run]) -> float:
    # Joined letters (Arabic, Devanagari) are narrower than their sum, seldom wider.
    return sum(run.width_px for run in runs)


def _trimmed(line: list[Run]) -> list[Run]:
    return line[:-1] if line and line[-1].text == " " else line


def _run(font: ImageFont.FreeTypeFont, text: str) -> Run:
    return Run(font, text, font.getlength(text))


def _merged(line: Iterable[Run]) -> Line:
    fonts = itertools.groupby(line, key=lambda run: run.font)
    return tuple(_run(font, "".join(run.text for run in runs)) for font, runs in fonts)


def _reads_rightwards(text: str) -> bool:
    """Tell the direction from the first letter that has one. Source: UAX #9, rules P2, P3."""
    strong = (unicodedata.bidirectional(code) for code in text)
    return next((kind for kind in strong if kind in {"L", "R", "AL"}), "L") == "L"

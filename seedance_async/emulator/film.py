"""Film: the MP4 that the emulator hands out for a task, drawn from the task's own settings.

A landscape glides past, its hills, colours and melody derived from the prompt; the prompt and
the settings stand on it, so that whoever watches can tell the films of a batch apart. Equal
films are equal bytes. Nothing here knows of tasks, HTTP, rules or an event loop.
"""

import array
import colorsys
import hashlib
import heapq
import io
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import attrs
import av
from av.container import OutputContainer
from PIL import Image, ImageDraw, ImageOps

from seedance_async.emulator import lettering

FRAMES_PER_S = 24  # our choice, as in the cinema
SAMPLES_PER_S = 48_000
SHORT_SIDE_PX = 480
_PACKET_SAMPLES = 1024  # Source: ISO/IEC 14496-3, an AAC-LC frame
_NOTE_SAMPLES = SAMPLES_PER_S // 2

# Measured: half the time of "superfast"; with the deblocking that the preset leaves out, as
# blocks show in a smooth sky. One thread: films are made side by side, not each in a hurry.
_X264 = {
    "preset": "ultrafast",
    "crf": "28",
    "threads": "1",
    "colorspace": "smpte170m",
    "x264-params": "deblock=0,0",
}
_AAC = {"aac_coder": "fast"}  # measured: 0.6 of the time of the default

# Pillow's YCbCr has JPEG's full range, video has 16 to 235 and 16 to 240.
# Source: ITU-R BT.601-7, 2.5.3.
_LUMA = [round(16 + level * 219 / 255) for level in range(256)]
_CHROMA = [round(128 + (level - 128) * 224 / 255) for level in range(256)]

# Looks are our choice, and were looked at in 0.4:1, 9:16, 1:1, 16:9 and 2.5:1.
_HILLS = ((0.33, 12), (0.41, 28), (0.49, 60), (0.58, 120))
"""From far to near: top as a share of the picture's height, speed in px/s."""
_RIDGE_PX = 140
"""How far below its top a ridge may come: 90 px of hills and firs above it, 45 px of dales."""
_MARGIN_PX = 24
_PADDING_PX = 18
_PROGRESS_PX = 4
_STILL_FRAMES = 12  # for which a given frame stands, and for as many more it fades
_PROMPT_SHARE = 0.4
_TEXT_SIZES_PX = (32, 27, 23, 20)
_CAPTION_PX = 17
_MAX_PROMPT_CHARACTERS = 2000  # no picture holds more, even of the narrowest letters
_TOLERATED_MISSING = 0.25
_WHITE = (255, 255, 255, 255)
_PALE = (255, 255, 255, 190)
_PANEL = (10, 12, 22, 165)
_PENTATONIC = (1.0, 9 / 8, 5 / 4, 3 / 2, 5 / 3, 2.0)

Colour = tuple[int, int, int]
Place = Callable[[float], tuple[int, int]]
_Block = tuple[lettering.Lettering, lettering.Setting, tuple[int, int, int, int]]


@attrs.frozen(kw_only=True)
class Film:
    """What one emulated video looks like and sounds like.

    Checks nothing: the emulator has checked the request that this stands for.
    """

    prompt: str
    duration_s: int
    """4 to 15, both included. Source: the API's own bounds."""
    width_over_height: float
    """0.4 to 2.5, both included; the shorter side is 480 px."""
    audio: bool
    caption: tuple[str, ...]
    """Settings to show in small letters, in this order."""
    first_frame: bytes | None = attrs.field(default=None, repr=False)
    """An image file that the film begins with; what cannot be read is not shown."""
    last_frame: bytes | None = attrs.field(default=None, repr=False)
    """One that it ends with, likewise."""

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height, both even, as yuv420p needs."""
        ratio = self.width_over_height
        long_side = 2 * round(SHORT_SIDE_PX * max(ratio, 1 / ratio) / 2)
        return (long_side, SHORT_SIDE_PX) if ratio >= 1 else (SHORT_SIDE_PX, long_side)


def render(film: Film, typecase: lettering.Typecase | None = None) -> bytes:
    """Make the whole MP4 of *film*: H.264, AAC if it has audio, its index at the front.

    Blocks, with about 0.1 s of CPU for each second of film: run it in a thread. It may run in
    several threads at once.

    Args:
        film: What to show.
        typecase: The fonts to write with; None for those of this machine.

    Returns:
        The file. Equal films give equal bytes, as long as fonts and libraries stay the same.

    """
    file = io.BytesIO()
    # "faststart" makes the muxer read its output again, to move it behind the index: from a
    # copy, as it writes over what it has yet to read.
    with av.open(
        file,
        "w",
        format="mp4",
        options={"movflags": "+faststart"},
        io_open=lambda *_: io.BytesIO(file.getvalue()),
    ) as container:
        streams = _add_streams(container, film)
        pictures = _pictures(film, typecase or lettering.machine_typecase())
        sounds = _sounds(film) if film.audio else iter(())
        # Side by side in the file, so that a player need not seek between the two.
        for frame in heapq.merge(pictures, sounds, key=lambda frame: frame.time or 0.0):
            container.mux(streams[type(frame)].encode(frame))
        for stream in streams.values():
            container.mux(stream.encode(None))
    return file.getvalue()


def _add_streams(container: OutputContainer, film: Film) -> dict[type, Any]:
    video = container.add_stream("libx264", rate=FRAMES_PER_S, options=_X264)
    video.width, video.height = film.size_px
    video.pix_fmt = "yuv420p"
    video.codec_context.gop_size = 2 * FRAMES_PER_S  # players seek to the second
    streams: dict[type, Any] = {av.VideoFrame: video}
    if film.audio:
        audio = container.add_stream("aac", rate=SAMPLES_PER_S, options=_AAC, layout="mono")
        audio.bit_rate = 64_000
        streams[av.AudioFrame] = audio
    return streams


# ---- what is seen


class _Layer:
    """Something that moves across the picture in one piece."""

    def __init__(self, paint: Image.Image | Colour, mask: Image.Image, place: Place) -> None:
        """Show *paint* through *mask*, its top left corner at *place* of the time in s."""
        self._paints: Sequence[Image.Image | int]
        if isinstance(paint, Image.Image):
            self._paints = _planes(paint)
        else:
            # A number is pasted faster than an image of one colour.
            dab = Image.new("RGB", (2, 2), paint)
            self._paints = [plane.tobytes()[0] for plane in _planes(dab)]
        small = mask.reduce(2)
        self._masks = (mask, small, small)
        self._place = place

    def show(self, planes: Iterable[Image.Image], time_s: float) -> None:
        """Paste onto the luma plane and the two chroma planes, which have half its size."""
        x, y = self._place(time_s)
        layer = zip(planes, self._paints, self._masks, (1, 2, 2), strict=True)
        for plane, paint, mask, scale in layer:
            left, top = x // scale, y // scale
            # What lies outside of the plane is clipped.
            plane.paste(paint, (left, top, left + mask.width, top + mask.height), mask)


def _planes(picture: Image.Image) -> tuple[Image.Image, Image.Image, Image.Image]:
    """Split an RGB picture into the encoder's planes, so that no frame need be converted."""
    luma, blue, red = picture.convert("YCbCr").split()
    return luma.point(_LUMA), blue.point(_CHROMA).reduce(2), red.point(_CHROMA).reduce(2)


def _pictures(film: Film, typecase: lettering.Typecase) -> Iterator[av.VideoFrame]:
    width, height = film.size_px
    layers = [*_landscape(film), _panel(film, typecase), _progress(film)]
    # A frame's rows are padded to some alignment: planes of that width are copied in one go.
    padded = av.VideoFrame(width, height, "yuv420p").planes
    sky = [
        plane.crop((0, 0, into.line_size, into.height))
        for plane, into in zip(_planes(_sky(film)), padded, strict=True)
    ]
    first, last = (_still(film, frame) for frame in (film.first_frame, film.last_frame))
    count = film.duration_s * FRAMES_PER_S
    for number in range(count):
        planes = [plane.copy() for plane in sky]
        for layer in layers:
            layer.show(planes, number / FRAMES_PER_S)
        for still, frames_away in ((first, number), (last, count - 1 - number)):
            share = min(2 - frames_away / _STILL_FRAMES, 1.0)
            if still is not None and share > 0:
                shown = zip(planes, still, strict=True)
                planes = [Image.blend(plane, over, share) for plane, over in shown]
        frame = av.VideoFrame(width, height, "yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_S)
        for plane, into in zip(planes, frame.planes, strict=True):
            into.update(plane.tobytes())
        yield frame


def _still(film: Film, content: bytes | None) -> list[Image.Image] | None:
    """Cut an image file to the film's shape, for its planes."""
    if content is None:
        return None
    width, height = film.size_px
    try:
        picture = Image.open(io.BytesIO(content))
        picture.draft("RGB", film.size_px)
        upright = ImageOps.exif_transpose(picture).convert("RGB")
        fitted = ImageOps.fit(upright, film.size_px)
    except Exception:  # noqa: BLE001 - a stranger's file may raise anything
        return None
    padded = av.VideoFrame(width, height, "yuv420p").planes
    return [
        plane.crop((0, 0, into.line_size, into.height))
        for plane, into in zip(_planes(fitted), padded, strict=True)
    ]


def _chance(film: Film, purpose: str) -> random.Random:
    """Return the dice for one *purpose*, which fall alike for equal prompts."""
    # A lone surrogate is valid JSON, and no valid UTF-8.
    seed = f"{purpose}\n{film.prompt}".encode("utf-8", "surrogatepass")
    return random.Random(hashlib.sha256(seed).digest())  # noqa: S311 - for looks only


@attrs.frozen
class _Palette:
    zenith: Colour
    horizon: Colour
    light: Colour
    ground: Colour

    @classmethod
    def of(cls, film: Film) -> "_Palette":
        chance = _chance(film, "palette")
        hue = chance.random()
        # Neighbours on the colour wheel, or opposites: what lies between looks like a mishap.
        warm = hue + chance.choice((-0.12, -0.08, 0.08, 0.12, 0.45, 0.55))
        return cls(
            zenith=_rgb(hue, 0.62, chance.uniform(0.35, 0.75)),
            horizon=_rgb(warm, 0.42, 0.97),
            light=_rgb(warm + 0.03, 0.12, 1.0),
            ground=_rgb(hue, 0.65, 0.15),
        )


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def _blend(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _sky(film: Film) -> Image.Image:
    palette = _Palette.of(film)
    column = Image.new("RGB", (1, 4))
    for row, share in enumerate((0.0, 0.35, 0.85, 1.0)):
        column.putpixel((0, row), _blend(palette.zenith, palette.horizon, share))
    width, height = film.size_px
    # The horizon is where the hills begin, not at the picture's lower edge.
    sky = column.resize((width, height * 3 // 4), Image.Resampling.BICUBIC)
    return sky.crop((0, 0, width, height))


def _landscape(film: Film) -> Iterator[_Layer]:
    palette, (width, height) = _Palette.of(film), film.size_px
    yield _sun(film, palette.light)
    leftwards = _chance(film, "direction").choice((True, False))
    for nearness, (top, speed_px_s) in enumerate(_HILLS, start=1):
        # Where the next hills stand before these, nothing need be drawn.
        foot = 1.0 if nearness == len(_HILLS) else _HILLS[nearness][0]
        size = (width + speed_px_s * film.duration_s, round(height * (foot - top)) + _RIDGE_PX)
        mask = _hills(film, nearness, size)
        colour = _blend(palette.horizon, palette.ground, nearness / len(_HILLS))
        start, sign = (0, -1) if leftwards else (width - mask.width, 1)
        yield _Layer(colour, mask, _glide((start, height * top), (sign * speed_px_s, 0)))


def _glide(start: tuple[float, float], speed_px_s: tuple[float, float]) -> Place:
    def place(time_s: float) -> tuple[int, int]:
        x, y = (at + speed * time_s for at, speed in zip(start, speed_px_s, strict=True))
        return round(x), round(y)

    return place


def _sun(film: Film, colour: Colour) -> _Layer:
    chance = _chance(film, "sun")
    radius = chance.randint(34, 60)
    glow = ImageOps.invert(Image.radial_gradient("L")).resize((6 * radius, 6 * radius))
    mask = glow.point([round(max(0, level - 75) ** 2 / 180**2 * 150) for level in range(256)])
    disc = Image.new("L", (4 * mask.width, 4 * mask.height))
    ImageDraw.Draw(disc).circle((disc.width / 2, disc.height / 2), 4 * radius, fill=255)
    mask.paste(255, (0, 0), disc.reduce(4))
    width, height = film.size_px
    start = chance.uniform(0.2, 0.8) * width, chance.uniform(0.36, 0.44) * height
    rise = chance.uniform(-0.3, 0.3) * width / 15, -0.22 * height / 15
    corner = start[0] - mask.width / 2, start[1] - mask.height / 2
    return _Layer(colour, mask, _glide(corner, rise))


def _hills(film: Film, nearness: int, size_px: tuple[int, int]) -> Image.Image:
    """Draw the mask of the hills that are the *nearness*-th from the horizon, 1 for the first."""
    chance = _chance(film, f"hills {nearness}")
    waves = [
        (amplitude * nearness**0.25, chance.uniform(0.7, 1.3) * length, chance.uniform(0, math.tau))
        for amplitude, length in ((20, 420), (9, 170), (3, 60))
    ]

    def top(x: float) -> float:
        rises = [high * math.sin(math.tau * x / long + phase) for high, long, phase in waves]
        return _RIDGE_PX - 50 + math.fsum(rises)

    # Drawn twice as large and reduced, for smooth edges.
    mask = Image.new("L", (2 * size_px[0], 2 * size_px[1]))
    draw = ImageDraw.Draw(mask)
    ridge = [(x, 2 * top(x / 2)) for x in range(0, mask.width + 16, 16)]
    draw.polygon([*ridge, (mask.width, mask.height), (0, mask.height)], fill=255)
    if nearness == len(_HILLS):
        for _ in range(size_px[0] // 26):
            x = chance.randrange(mask.width)
            _draw_fir(draw, (x, 2 * top(x / 2) + 8), chance.randint(40, 80))
    return mask.reduce(2)


def _draw_fir(draw: ImageDraw.ImageDraw, foot: tuple[float, float], tall: float) -> None:
    x, y = foot
    for tier in (1.0, 0.72, 0.46):
        half, base = tall * tier * 0.24, y - tall * (1 - tier) * 0.9
        draw.polygon([(x - half, base), (x + half, base), (x, y - tall)], fill=255)


def _progress(film: Film) -> _Layer:
    """Show how much of the film is over, as a line along the lower edge."""
    width, height = film.size_px
    mask = Image.new("L", (width, _PROGRESS_PX), 255)
    place = _glide((-width, height - _PROGRESS_PX), (width / film.duration_s, 0))
    return _Layer(_Palette.of(film).light, mask, place)


# ---- what is read


def _panel(film: Film, typecase: lettering.Typecase) -> _Layer:
    """Draw caption and prompt onto a panel at the picture's lower edge."""
    width, height = film.size_px
    blocks = list(_blocks(film, width - 2 * _MARGIN_PX - 2 * _PADDING_PX, typecase))
    high = 2 * _PADDING_PX + sum(face.line_px * len(block.lines) for face, block, _ in blocks)
    panel = Image.new("RGBA", (width - 2 * _MARGIN_PX, high + high % 2))
    draw = ImageDraw.Draw(panel)
    draw.rounded_rectangle((0, 0, panel.width - 1, panel.height - 1), 14, fill=_PANEL)
    sides_px = _PADDING_PX, panel.width - _PADDING_PX
    y = _PADDING_PX
    for face, block, fill in blocks:
        for line in block.lines:
            lettering.draw_line(
                draw, line, sides_px, y + face.size_px, fill=fill, rightwards=block.rightwards
            )
            y += face.line_px
    corner = _MARGIN_PX, height - _MARGIN_PX - panel.height
    return _Layer(panel.convert("RGB"), panel.getchannel("A"), lambda _: corner)


def _blocks(film: Film, room_px: int, typecase: lettering.Typecase) -> Iterator[_Block]:
    small = lettering.Lettering(_CAPTION_PX, typecase)
    yield small, small.set("  ·  ".join(film.caption), width_px=room_px, max_lines=2), _PALE
    face, text = _fitted(film, room_px, typecase)
    total = text.missing + text.drawn
    # Of a prompt in a script unknown here, commas and a stray "4K" would be all there is.
    if text.drawn > total * _TOLERATED_MISSING:
        yield face, text, _WHITE
    if text.missing > total * _TOLERATED_MISSING:
        note = f"{text.missing} of the prompt's {total} characters are in no font of this machine"
        yield small, small.set(note, width_px=room_px, max_lines=3), _PALE


def _fitted(
    film: Film, room_px: int, typecase: lettering.Typecase
) -> tuple[lettering.Lettering, lettering.Setting]:
    """Set the prompt as large as it fits, else in the smallest size with an ellipsis."""

    def in_size(size_px: int) -> tuple[lettering.Lettering, lettering.Setting]:
        face = lettering.Lettering(size_px, typecase)
        most = round(film.size_px[1] * _PROMPT_SHARE) // face.line_px
        prompt = film.prompt[:_MAX_PROMPT_CHARACTERS]
        return face, face.set(prompt, width_px=room_px, max_lines=most)

    *larger, smallest = _TEXT_SIZES_PX
    fitting = (fitted for fitted in map(in_size, larger) if not fitted[1].truncated)
    return next(fitting, None) or in_size(smallest)


# ---- what is heard


def _sounds(film: Film) -> Iterator[av.AudioFrame]:
    """Play two soft notes a second, ending with the last whole packet before the end."""
    chance = _chance(film, "melody")
    root_hz = chance.uniform(196, 330)  # G3 to E4
    # Struck within 15 ms and silent after half a second, so that nothing clicks.
    rests = [1 - n / _NOTE_SAMPLES for n in range(_NOTE_SAMPLES)]
    loudness = [0.12 * min(1, n / 700) * rest * rest for n, rest in enumerate(rests)]
    notes = [_note(root_hz * ratio, loudness) for ratio in _PENTATONIC]
    melody = b"".join(chance.choice(notes) for _ in range(2 * film.duration_s))
    packet_bytes = 4 * _PACKET_SAMPLES
    for number in range(len(melody) // packet_bytes):
        frame = av.AudioFrame("fltp", "mono", _PACKET_SAMPLES)
        frame.sample_rate, frame.pts = SAMPLES_PER_S, number * _PACKET_SAMPLES
        frame.time_base = Fraction(1, SAMPLES_PER_S)
        frame.planes[0].update(melody[number * packet_bytes : (number + 1) * packet_bytes])
        yield frame


def _note(pitch_hz: float, loudness: Iterable[float]) -> bytes:
    """Sound one note as 32 bit floats, as long as its *loudness* is given."""
    turn = math.tau * pitch_hz / SAMPLES_PER_S
    return array.array("f", [a * math.sin(turn * n) for n, a in enumerate(loudness)]).tobytes()

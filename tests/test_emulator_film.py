"""Films are probed as a player would: through the container, stream by stream."""

import concurrent.futures
import functools
import io
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFont, ImageStat

from seedance_async.emulator.film import Film, render
from seedance_async.emulator.lettering import Lettering, Setting, Typecase, draw_line

NO_FONTS = Typecase(folders=())

AWKWARD_PROMPTS = {
    "cjk": "一只红色的狐狸在雪地里奔跑。镜头跟随。キツネが雪の中を走る 여우가 눈밭을 달린다",
    "arabic": "قطة صغيرة تلعب في الحديقة تحت ضوء القمر، ثم تقفز 12 مرة",
    "hebrew with latin": "שלום Seedance עולם",
    "devanagari": "एक लाल लोमड़ी बर्फ में दौड़ती है",
    "emoji": "a fox 🦊 and a family 👨‍👩‍👧‍👦 wave 👋🏽 ❤️ 🇫🇷 1️⃣",
    "controls": "a\x00b\x07c\x1bd\u202ee\ufefff\r\n\tg",
    "joiners alone": "\u200d\u200c\u200d \ufe0f",
    "marks alone": "\u0301\u0302 \u0303",
    "zalgo": "Z" + "\u0301\u0316" * 200 + "algo",
    "surrogate": "\ud800 and \udfff",
    "noncharacters": "\uffff\ufdd0\U0010ffff\ue000",
    "empty": "",
    "spaces": " \n\t\u3000\u00a0",
    "one sign": "·",
    "very long": "the lighthouse keeper climbs the stairs, " * 500,
    "unbreakable": "x" * 5000,
    "unbreakable ideographs": "狐" * 3000,
    "wide": "W" * 300,
}


def film(
    prompt: str = "A red fox trots through fresh snow at dawn",
    *,
    duration_s: int = 4,
    width_over_height: float = 1.0,
    audio: bool = False,
    caption: tuple[str, ...] = ("seedance_2_0_pro", "4 s"),
) -> Film:
    return Film(
        prompt=prompt,
        duration_s=duration_s,
        width_over_height=width_over_height,
        audio=audio,
        caption=caption,
    )


@functools.cache
def rendered(wanted: Film, typecase: Typecase | None = None) -> bytes:
    return render(wanted, typecase)


def pictures(mp4: bytes, *numbers: int) -> list[Image.Image]:
    with av.open(io.BytesIO(mp4), "r") as container:
        frames = enumerate(container.decode(video=0))
        wanted: Iterator[Image.Image] = (
            frame.to_image()  # type: ignore[no-untyped-call]  # PyAV's own gap
            for number, frame in frames
            if number in numbers
        )
        return [next(wanted) for _ in numbers]


def difference(one: Image.Image, other: Image.Image) -> float:
    return max(ImageStat.Stat(ImageChops.difference(one, other)).rms)


# ---- the file


@pytest.mark.parametrize(("duration_s", "audio"), [(4, False), (5, True), (15, True)])
def test_lasts_as_long_as_asked(duration_s: int, *, audio: bool) -> None:
    mp4 = rendered(film(duration_s=duration_s, audio=audio))
    with av.open(io.BytesIO(mp4), "r") as container:
        assert container.duration is not None
        assert container.duration / av.time_base == pytest.approx(duration_s, abs=0.05)
        for stream in container.streams:
            assert stream.duration is not None
            assert stream.time_base is not None
            lasts_s = float(stream.duration * stream.time_base)
            assert duration_s - 0.05 <= lasts_s <= duration_s
        assert sum(1 for _ in container.decode(video=0)) == 24 * duration_s


@pytest.mark.parametrize(
    "width_over_height", [16 / 9, 4 / 3, 1, 3 / 4, 9 / 16, 21 / 9, 9 / 21, 0.4, 2.5, 1.2345]
)
def test_has_the_ratio_asked_for_at_480p(width_over_height: float) -> None:
    width, height = film(width_over_height=width_over_height).size_px
    assert width / height == pytest.approx(width_over_height, rel=0.01)
    assert min(width, height) == 480
    assert width % 2 == height % 2 == 0


@pytest.mark.parametrize("width_over_height", [16 / 9, 0.4, 21 / 9])
def test_the_picture_has_the_size_of_its_film(width_over_height: float) -> None:
    wanted = film(width_over_height=width_over_height)
    (picture,) = pictures(rendered(wanted), 0)
    assert picture.size == wanted.size_px


@pytest.mark.parametrize("audio", [False, True])
def test_has_a_sound_track_exactly_when_asked(*, audio: bool) -> None:
    with av.open(io.BytesIO(rendered(film(audio=audio))), "r") as container:
        (video,) = container.streams.video
        assert video.codec_context.name == "h264"
        assert video.codec_context.pix_fmt == "yuv420p"
        assert video.average_rate == 24
        names = [stream.codec_context.name for stream in container.streams.audio]
        assert names == (["aac"] if audio else [])


def test_the_sound_is_heard_and_is_quiet() -> None:
    with av.open(io.BytesIO(rendered(film(audio=True))), "r") as container:
        floats = [
            sample
            for frame in container.decode(audio=0)
            for sample in memoryview(frame.planes[0]).cast("B").cast("f")
        ]
    assert 0.02 < max(floats) < 0.3


@pytest.mark.parametrize("audio", [False, True])
def test_the_index_is_at_the_front(*, audio: bool) -> None:
    mp4 = rendered(film(audio=audio))
    boxes, at = [], 0
    while at < len(mp4):
        boxes.append(mp4[at + 4 : at + 8])
        at += int.from_bytes(mp4[at : at + 4])
    assert boxes.index(b"moov") < boxes.index(b"mdat")
    assert at == len(mp4)


# ---- the picture


def test_the_picture_moves() -> None:
    first, later, last = pictures(rendered(film()), 0, 24, 95)
    assert difference(first, later) > 5
    assert difference(later, last) > 5


def test_another_prompt_looks_different() -> None:
    (one,), (other,) = pictures(rendered(film()), 0), pictures(rendered(film("an owl")), 0)
    assert difference(one, other) > 5


def test_the_same_film_is_the_same_bytes_in_several_threads_at_once() -> None:
    wanted = film("a fox 🦊 شمس", audio=True)
    typecase = Typecase()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        films = set(pool.map(lambda _: render(wanted, typecase), range(2)))
    assert films == {render(wanted)}


def test_the_caption_is_on_every_frame() -> None:
    with_caption, without = rendered(film()), rendered(film(caption=()))
    for one, other in zip(pictures(with_caption, 0, 95), pictures(without, 0, 95), strict=True):
        assert difference(one, other) > 1


@pytest.mark.parametrize("prompt", ["A red fox", "狐狸"])
def test_a_machine_without_fonts_makes_films_too(prompt: str) -> None:
    (picture,) = pictures(rendered(film(prompt), NO_FONTS), 50)
    blank = pictures(rendered(film(prompt, caption=()), NO_FONTS), 50)[0]
    assert difference(picture, blank) > 1


def test_a_prompt_that_no_font_covers_is_said_to_be_one() -> None:
    assert Lettering(17, NO_FONTS).set("狐狸", width_px=400, max_lines=2).lines == ()
    (picture,) = pictures(rendered(film("狐狸", caption=()), NO_FONTS), 0)
    # Without a caption, what is bright on the panel can only be the note.
    panel = picture.crop((42, 400, 438, 456)).convert("L")
    assert max(panel.tobytes()) > 150


@pytest.mark.parametrize("prompt", ["zalgo", "surrogate"])
def test_awkward_prompts_make_films(prompt: str) -> None:
    assert pictures(rendered(film(AWKWARD_PROMPTS[prompt])), 95)


# ---- the letters


def characters(setting: Setting) -> str:
    return "".join(run.text for line in setting.lines for run in line)


@pytest.mark.parametrize("typecase", [Typecase(), NO_FONTS], ids=["machine", "no fonts"])
@pytest.mark.parametrize("prompt", AWKWARD_PROMPTS.values(), ids=AWKWARD_PROMPTS.keys())
def test_draws_no_missing_glyph_and_nothing_beyond_the_line(
    prompt: str, typecase: Typecase
) -> None:
    setting = Lettering(23, typecase).set(prompt, width_px=400, max_lines=6)
    assert len(setting.lines) <= 6
    canvas = ImageDraw.Draw(Image.new("RGBA", (400, 40)))
    for line in setting.lines:
        assert sum(run.width_px for run in line) <= 400 * 1.02
        draw_line(canvas, line, (0, 400), 30, fill=(255,) * 4, rightwards=setting.rightwards)
        for run in line:
            plain = run.font.font_variant(layout_engine=ImageFont.Layout.BASIC)
            # Another noncharacter than the one that the code under test asks for.
            missing = bytes(plain.getmask("\U0001fffe"))
            assert not [c for c in run.text if c != " " and bytes(plain.getmask(c)) == missing]
            assert not [c for c in run.text if unicodedata.category(c) in {"Cc", "Cn", "Cs"}]


def test_counts_what_it_leaves_out() -> None:
    setting = Lettering(23, NO_FONTS).set("fox 狐狸 fox 👨‍👩‍👧", width_px=400, max_lines=1)
    assert characters(setting) == "fox fox"
    assert (setting.drawn, setting.missing) == (6, 3)
    assert not setting.truncated


def test_an_accent_that_the_font_lacks_is_left_out_but_its_letter_is_not() -> None:
    assert characters(Lettering(23, NO_FONTS).set("ḱ ế", width_px=400, max_lines=1)) == "k e"


def test_white_space_of_any_kind_is_one_space() -> None:
    setting = Lettering(23, NO_FONTS).set(" a\r\n\tb\u3000 c ", width_px=400, max_lines=2)
    assert characters(setting) == "a b c"


def test_breaks_at_spaces_and_ends_a_text_that_is_too_long_with_an_ellipsis() -> None:
    setting = Lettering(23, NO_FONTS).set("some words " * 50, width_px=200, max_lines=3)
    first, _, last = ("".join(run.text for run in line) for line in setting.lines)
    assert setting.truncated
    assert first.endswith(("some", "words"))
    assert last.endswith(("…", "..."))


def test_the_first_letter_with_a_direction_gives_the_text_its_own() -> None:
    lettering = Lettering(23, NO_FONTS)
    assert lettering.set("12 fox", width_px=400, max_lines=1).rightwards
    assert not lettering.set("12 قطة fox", width_px=400, max_lines=1).rightwards


# ---- the fonts


@pytest.fixture
def latin_font() -> bytes:
    font = ImageFont.load_default(size=20)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font.font_bytes


def test_uses_the_fonts_of_the_folder_wherever_they_lie(tmp_path: Path, latin_font: bytes) -> None:
    (tmp_path / "deep" / "down").mkdir(parents=True)
    path = tmp_path / "deep" / "down" / "Latin.TTF"
    path.write_bytes(latin_font)
    setting = Lettering(23, Typecase([tmp_path])).set("fox", width_px=400, max_lines=1)
    assert [Path(str(run.font.path)) for run in setting.lines[0]] == [path]


def test_broken_and_foreign_files_are_passed_over(tmp_path: Path, latin_font: bytes) -> None:
    (tmp_path / "a.ttf").write_bytes(b"")
    (tmp_path / "b.ttf").write_bytes(b"not a font at all" * 100)
    (tmp_path / "c.otf").write_bytes(latin_font[: len(latin_font) // 3])
    (tmp_path / "d.ttc").mkdir()
    (tmp_path / "e.ttf").symlink_to(tmp_path / "nowhere.ttf")
    (tmp_path / "readme.txt").write_bytes(latin_font)
    damaged = bytearray(latin_font)
    damaged[400:-400:7] = bytes(len(damaged[400:-400:7]))
    (tmp_path / "f.ttf").write_bytes(damaged)
    (tmp_path / "LastResort.otf").write_bytes(latin_font)
    setting = Lettering(23, Typecase([tmp_path])).set("fox", width_px=400, max_lines=1)
    assert not [run for run in setting.lines[0] if isinstance(run.font.path, Path)]
    assert render(film(), Typecase([tmp_path]))


def test_folders_that_are_not_there_are_passed_over(tmp_path: Path) -> None:
    typecase = Typecase([tmp_path / "nowhere", Path("~nobody-of-that-name/fonts")])
    assert characters(Lettering(23, typecase).set("fox", width_px=400, max_lines=1)) == "fox"


def test_the_plainest_face_of_a_family_comes_first(tmp_path: Path, latin_font: bytes) -> None:
    for name in ("Any-Bold.ttf", "Any-Italic.ttf", "Any.ttf"):
        (tmp_path / name).write_bytes(latin_font)
    setting = Lettering(23, Typecase([tmp_path])).set("fox", width_px=400, max_lines=1)
    assert Path(str(setting.lines[0][0].font.path)).name == "Any.ttf"

"""A video file's name, filled into a template: one name in the folder, whatever it is filled with.

Text to text; what is on disk already does not matter here.
"""

import hashlib
import re
import unicodedata

import attrs

#: Names files by their places and, where they have one, their names.
DEFAULT_NAMES = "{index}-{name}"
_FIELDS = ("index", "key", "id", "name")
_FIELD = re.compile(r"\{([^{}]*)\}")
_SUFFIX = re.compile(r"\.mp4\Z", re.IGNORECASE)
# Of the 255 bytes that file systems give a name: the rest is for what is added, as ``-2``.
_STEM_BYTES = 200
_VALUE_BYTES = 80  # the provider's ids have 42; our choice
_NAME_CHARS = 40  # of up to four bytes each
_DIGEST_DIGITS = 8
# Besides control characters: Windows takes none of them, and other systems not the slash.
# Source: "Naming Files, Paths, and Namespaces", learn.microsoft.com.
_FORBIDDEN = frozenset('/\\<>:"|?*')
# The same page; with any suffix behind them, too.
_RESERVED = re.compile(r"CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³]", re.IGNORECASE)

_ABSENT = "\0"  # stands in a filled template where a field had nothing; no text can hold it
_IN_BRACKETS = re.compile(r"\(\0\)|\[\0\]")
_GAP = re.compile(r"[ ._+,~-]*\0[ ._+,~\0-]*")


def _check(_: object, __: object, text: str) -> None:
    pieces = _FIELD.split(text)
    literal, fields = "".join(pieces[::2]), pieces[1::2]
    wrong = [f"{{{field}}} is none of its fields" for field in fields if field not in _FIELDS]
    if "{" in literal or "}" in literal:
        wrong.append("a brace in it has no partner")
    elif not fields:
        wrong.append("nothing in it varies")
    odd = {char for char in literal if char in _FORBIDDEN or not char.isprintable()}
    wrong += [f"{char!r} has no place in a file's name" for char in sorted(odd)]
    if wrong:
        known = ", ".join(f"{{{field}}}" for field in _FIELDS)
        message = f"cannot name files by {text!r}: {'; '.join(wrong)} (the fields: {known})"
        raise ValueError(message)


@attrs.frozen
class NameTemplate:
    """How a batch's files are named: text with fields in braces, ``{index}-{name}`` by default.

    ``{index}`` is the job's place, from 1, with four digits at least; ``{key}`` its key; ``{id}``
    the provider's id of the task; ``{name}`` what a person calls it. Fields take no format.
    ``.mp4`` is added where it is missing. Does not make names unique: of two equal ones the second
    file gets a number.

    Args:
        text: The template.

    Raises:
        ValueError: It holds something else in braces, no field, or what no file name may hold.
    """

    text: str = attrs.field(default=DEFAULT_NAMES, validator=_check)

    def fill(
        self,
        *,
        index: int,
        key: str | None = None,
        task_id: str | None = None,
        name: str | None = None,
    ) -> str:
        """Name one job's file.

        What has no place in a file's name becomes a dash; a field without a value goes, and a
        separator with it. Long keys and ids are cut, and told apart by a digest.

        Args:
            index: The job's place in the input, from 0.
            key: Its key.
            task_id: The provider's id.
            name: What a person calls it; its first 40 characters are used.

        Returns:
            A name without a folder, not hidden, not reserved by Windows, of at most 205 bytes.
        """
        place = f"{index + 1:04d}"
        values = {"index": place, "key": _id(key), "id": _id(task_id), "name": _name(name)}
        filled = _FIELD.sub(lambda field: values[field[1]] or _ABSENT, self.text)
        stem = _close_gaps(_SUFFIX.sub("", filled)).strip(" .") or place
        stem = _cut(stem, _STEM_BYTES, stem)
        if _RESERVED.fullmatch(stem.partition(".")[0].rstrip()):
            stem = f"_{stem}"
        return f"{stem}.mp4"


def _id(text: str | None) -> str:
    """Make an identifier safe, and otherwise leave it as it is."""

    def safe(odd: re.Match[str]) -> str:
        return odd[0] if set(odd[0]) <= {".", "-"} else "-"

    whole = text or ""
    plain = re.sub(r"\W+", safe, unicodedata.normalize("NFC", whole)).strip(".-")
    return _cut(plain, _VALUE_BYTES, whole)


def _name(text: str | None) -> str:
    plain = unicodedata.normalize("NFC", text or "")
    return re.sub(r"[\W_]+", "-", plain)[:_NAME_CHARS].strip("-")


def _close_gaps(filled: str) -> str:
    """Take out what is absent, with all but one of the separators around it."""

    def close(gap: re.Match[str]) -> str:
        at_an_end = gap.start() == 0 or gap.end() == len(gap.string)
        return "" if at_an_end else next(filter(None, gap[0].split(_ABSENT)), "")

    return _GAP.sub(close, _IN_BRACKETS.sub(_ABSENT, filled))


def _cut(text: str, size_bytes: int, whole: str) -> str:
    """Shorten what is too long; a digest of the *whole* keeps apart what begins alike."""
    encoded = text.encode()
    if len(encoded) <= size_bytes:
        return text
    digest = hashlib.sha256(whole.encode(errors="surrogatepass")).hexdigest()[:_DIGEST_DIGITS]
    kept = encoded[: size_bytes - len(digest) - 1].decode(errors="ignore")
    return f"{kept.rstrip(' .-')}-{digest}"

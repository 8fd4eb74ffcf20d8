"""Takes out of a text what nobody else may see: keys, credentials, signed addresses, and what may be a patient's.

It is the second guard. The first is that nothing which holds such things is collected; but a log says what it says. In
doubt it takes out too much.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

_TAKEN = "[{} taken out]"
_ROW_FIELDS = 6
_SEPARATORS = (",", "\t", ";", "|", "│")
#: A value of a table: short, and neither JSON nor a setting.
_CELL = re.compile(r"[^:={}]{0,40}")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")

_KEY_BEGINS, _KEY_ENDS = (rf"-----{word} [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----" for word in ("BEGIN", "END"))

#: What is a secret by its form alone. A key without its end is taken out to the end of the text. No pattern may look at
#: the rest of a line from each of its characters: a line may be long.
_BY_FORM: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("private key", re.compile(rf"{_KEY_BEGINS}.*?(?:{_KEY_ENDS}|\Z)", re.DOTALL)),
    ("signed address", re.compile(r"(?i)(?<=\?)[^\s\"'<>?]*(?:X-Amz-|AWSAccessKeyId|Signature=)[^\s\"'<>]*")),
    ("authorization", re.compile(r"(?i)(?:(?<=authorization: )|(?<=authorization=)|\bbearer )[^\r\n\"']+")),
    ("session token", re.compile(r"\b(?:IQoJ|FwoG|FQoG|AQoD)[A-Za-z0-9+/=%_-]{40,}")),
    ("access key", re.compile(r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}\b")),
    ("W&B key", re.compile(r"\b(?:local-[0-9a-f]{40}|wandb_v\d+_\w{16,})\b")),
    ("token", re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}|\bxox[abprs]-[\w-]{10,}|(?<![\w-])eyJ[\w-]{10,}\.[\w.-]{10,}")),
    ("password", re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")),
)
_NAMES = "|".join(
    [
        *("secret", "passw(?:or)?d", "passphrase", "token", "credential", "signature", "authorization"),
        *(f"{kind}[_-]?key" for kind in ("api", "access", "private")),
    ]
)
#: What is one by the name before it, also in JSON within JSON. The name stays.
_BY_NAME = re.compile(
    rf"""(?i)(?<![\w-])([\w-]{{0,40}}(?:{_NAMES})[\w-]{{0,40}}\\*["']?\s*[=:]\s*)(?!\[)\\*["']?[^\s"',;}}\]\\]+"""
)
#: Forty characters are the length of a secret access key and of a W&B key, 64 and more may be a part of any key.
_FORTY = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=_-])")
_LONG = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{64,}={0,2}(?![A-Za-z0-9+/=_-])")
_HEX = re.compile(r"[0-9a-f]+")
#: A patient's or a stay's number, by the name before it.
_PATIENT = re.compile(
    r"(?i)\b((?:patient\w*|uniquepid|\w*stay_?id|stay|mrn|subject_?id|hadm_?id)[\"']?\s*(?:[=:#]|\bis\b)?\s*)[\"']?\d[\w-]*"
)
#: The names of files below data/ are a hospital's own.
_DATA_NAME = re.compile(r"(?<![\w.-])(data/)[^\s\"',;)\]}]+")


def redact(text: str, *, public: Collection[str] = (), home: Path | None = None) -> tuple[str, Counter[str]]:
    """Return a text without its secrets, and how many of which kind were taken out.

    Args:
        text: of any kind.
        public: what looks like a secret and is none.
        home: the user's folder, which is written as ``~``: it bears a name.
    """
    taken: Counter[str] = Counter()

    def out(kind: str, kept: str = "") -> Callable[[re.Match[str]], str]:
        def replace(match: re.Match[str]) -> str:
            if match[0] in public:
                return match[0]
            taken[kind] += 1
            return (match[1] if kept else "") + _TAKEN.format(kind)

        return replace

    for kind, pattern in _BY_FORM:
        text = pattern.sub(out(kind), text)
    text = _BY_NAME.sub(out("value", "name"), text)
    text = _FORTY.sub(lambda match: match[0] if _is_plain(match[0]) else out("key")(match), text)
    text = _LONG.sub(lambda match: match[0] if _is_digest(match[0]) else out("key")(match), text)
    text = _PATIENT.sub(out("patient's number", "name"), text)
    text = _DATA_NAME.sub(out("name of a data file", "name"), text)
    text = "".join(_without_row(line, taken) for line in text.splitlines(keepends=True))
    if home is not None and len(home.parts) > 1:
        text = text.replace(str(home), "~")
    return text, taken


def _is_plain(text: str) -> bool:
    """Say whether forty characters are a path or a word: keys have digits and letters of both cases, or are digits."""
    if _HEX.fullmatch(text):
        return False  # a W&B key
    return not (re.search(r"\d", text) and re.search("[a-z]", text) and re.search("[A-Z]", text))


def _is_digest(text: str) -> bool:
    """Say whether a long word is a SHA-256 or SHA-512, a path, or a line that was drawn."""
    is_hash = len(text) in (64, 128) and _HEX.fullmatch(text) is not None
    is_path = "/" in text and not re.search("[A-Z+]", text)
    return is_hash or is_path or not (re.search(r"\d", text) and re.search("[A-Za-z]", text))


def _without_row(line: str, taken: Counter[str]) -> str:
    """Return a line, or that it was taken out: many short values side by side may be a row of a table."""
    for separator in _SEPARATORS:
        first, *fields = line.rstrip("\n").split(separator)  # before the first value a log says when and who
        last = first.split()[-1:]
        cells = [field.strip().strip("\"'[]()") for field in [*last, *fields]]
        if len(cells) >= _ROW_FIELDS and all(map(_CELL.fullmatch, cells)) and any(map(_NUMBER.fullmatch, cells)):
            taken["row of values"] += 1
            return _TAKEN.format("row of values") + ("\n" if line.endswith("\n") else "")
    return line

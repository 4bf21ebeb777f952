"""What a column names, told from its own name and its values: people, addresses, accounts, numbers of rows."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_SAMPLE = 1_000  # distinct values that are looked at
_SHARE = 0.9  # of them must look alike

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}")
_UUID = re.compile(r"\{?[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\}?")
_URL = re.compile(r"(?:https?|ftp)://\S+|www\.\S+\.\S+")
_SSN = re.compile(r"\d{3}-\d{2}-\d{4}")
_PHONE = re.compile(r"(?:\+|00)?[\d(][\d\s().\-/]{5,18}\d(?:\s?(?:x|ext\.?)\s?\d+)?")
_PERSON = re.compile(r"[^\W\d_][^\W\d_'’.\-]*(?:[ ,'’.\-]+[^\W\d_]+\.?){0,4}")
_FULL_NAME = re.compile(r"(?:[A-ZÀ-Þ][^\W\d_]*[.'’\-]?[^\W\d_]*,? ){1,3}[A-ZÀ-Þ][^\W\d_]*[.'’\-]?[^\W\d_]*")
_ADDRESS = re.compile(r"(?=.*\d)(?=.*[^\W\d_]{3}).{8,}", re.DOTALL)

_FIRST = {"first name", "firstname", "given name", "givenname", "forename", "fname", "vorname", "prenom", "name first"}
_LAST = {"last name", "lastname", "surname", "family name", "familyname", "lname", "nachname", "nom", "name last"}
_WHOLE = {"full name", "fullname", "person", "person name", "name"}
_PEOPLE = {"patient", "customer", "client", "employee", "contact", "person", "user", "member", "student", "holder", "owner"}


def recognise(name: str, values: pa.ChunkedArray | pa.Array) -> str | None:
    """The provider (see `identifiers.PROVIDERS`) that re-issues such values, or None where they name nothing that is known.

    name: the column's name; values: its values, of which a sample of the distinct ones is looked at.
    """
    words = _words(name)
    plain = values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
    if pa.types.is_integer(plain.type):
        return _of_integers(words, plain)
    if not (pa.types.is_string(plain.type) or pa.types.is_large_string(plain.type) or pa.types.is_string_view(plain.type)):
        return None
    distinct = pc.unique(plain.drop_null())
    if len(distinct) == 0:
        return None
    step = max(1, len(distinct) // _SAMPLE)
    sample = [text.strip() for text in distinct.take(pa.array(np.arange(0, len(distinct), step))).to_pylist()]
    return _of_texts(words, sample)


def _words(name: str) -> str:
    """A column's name as words: "patientFirst_Name" is "patient first name"."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return " ".join(re.findall(r"[^\W_]+", spaced)).lower()


def _mostly(sample: list[str], looks: Callable[[str], object]) -> bool:
    return sum(bool(looks(text)) for text in sample) >= _SHARE * len(sample)


def _of_texts(words: str, sample: list[str]) -> str | None:
    by_value: Iterable[tuple[str, Callable[[str], object]]] = (
        ("email", _EMAIL.fullmatch),
        ("uuid", _UUID.fullmatch),
        ("ip", _is_ip),
        ("url", _URL.fullmatch),
        ("iban", _is_iban),
        ("ssn", _SSN.fullmatch),
        ("credit_card", _is_card),
    )
    for provider, looks in by_value:
        if _mostly(sample, looks):
            return provider
    if _mostly(sample, _PHONE.fullmatch) and (
        _says(words, "phone", "mobile", "tel", "telephone", "fax", "cell") or _spaced(sample)
    ):
        return "phone"
    return _person(words, sample) or _place(words, sample)


def _person(words: str, sample: list[str]) -> str | None:
    if not _mostly(sample, _PERSON.fullmatch):
        return None
    if any(words == known or words.endswith(" " + known) for known in _FIRST):
        return "first_name"
    if any(words == known or words.endswith(" " + known) for known in _LAST):
        return "last_name"
    of_people = words.endswith(" name") and bool(set(words.split()) & _PEOPLE)
    if of_people or (words in _WHOLE and _mostly(sample, _FULL_NAME.fullmatch)):
        return "name"
    return None


def _place(words: str, sample: list[str]) -> str | None:
    return "address" if _says(words, "address", "street", "addr", "adresse") and _mostly(sample, _ADDRESS.fullmatch) else None


def _of_integers(words: str, values: pa.ChunkedArray | pa.Array) -> str | None:
    known = values.drop_null()
    if len(known) < 2:
        return None
    low, high = (pc.min_max(known)[end].as_py() for end in ("min", "max"))
    if high - low + 1 == len(known) == pc.count_distinct(known).as_py():
        return "sequence"
    if low >= 10**9 and high < 10**15 and _says(words, "phone", "mobile", "tel", "telephone", "fax", "cell"):
        return "phone"
    if low >= 10**6 and high < 10**9 and _says(words, "ssn"):
        return "ssn"
    if low >= 10**12 and _says(words, "card") and _mostly([str(v) for v in known.slice(0, _SAMPLE).to_pylist()], _is_card):
        return "credit_card"
    return None


def _says(words: str, *candidates: str) -> bool:
    return bool(set(words.split()) & set(candidates))


def _spaced(sample: list[str]) -> bool:
    """Whether the digits are grouped as in a telephone number; dates and decimals are not."""
    grouped = re.compile(r"(?:\+\d|00\d|\(\d|\d{3,4}[ .\-/]\d{3,4}[ .\-]\d{3,4}).*")
    return _mostly(sample, lambda text: grouped.fullmatch(text) and sum(c.isdigit() for c in text) >= 9)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_iban(text: str) -> bool:
    """ISO 13616: with the first four characters moved to the end and letters as numbers, 97 leaves 1."""
    plain = text.replace(" ", "").upper()
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", plain):
        return False
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def _is_card(text: str) -> bool:
    """ISO/IEC 7812: 13 to 19 digits, the last by Luhn's rule."""
    plain = re.sub(r"[ \-]", "", text)
    if not re.fullmatch(r"[3-6]\d{12,18}", plain):
        return False
    total = sum(int(c) if k % 2 == 0 else sum(divmod(2 * int(c), 10)) for k, c in enumerate(reversed(plain)))
    return total % 10 == 0

"""Made-up values for what a column names: people, addresses, numbers. None can belong to anyone where that can be ensured.

Each issuer is a product of lists (Faker's own word lists, and digits): every row gets a place in that product, spelled out
with vectorised joins, so that a million values take seconds. E-mails lie under example.com, telephone numbers
under the exchange 555, social security numbers above 900, addresses of computers in 10.0.0.0/8: none of these is ever given
to anyone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.data._places import Issue

Parts = list["pa.Array | str"]

_DOMAINS = ("example.com", "example.org", "example.net")


def spell(parts: Sequence[Sequence[str] | str], issue: Issue, what: str) -> pa.Array:
    """A text for each row, one choice from every list; a bare text is the same in all of them."""
    parts = [part if isinstance(part, str) else tuple(dict.fromkeys(part)) for part in parts]  # Faker lists some words twice
    size = math.prod(len(part) for part in parts if not isinstance(part, str))
    index = issue.places(min(size, 2**62), what)
    pieces: list[pa.Array | pa.Scalar] = []
    for part in parts:
        if isinstance(part, str):
            pieces.append(pa.scalar(part))
        else:
            index, chosen = np.divmod(index, len(part))
            pieces.append(pa.array(part, pa.string()).take(pa.array(chosen)))
    return pc.binary_join_element_wise(*pieces, "")


def digits(width: int, first: int = 0) -> list[str]:
    """All numbers of that many digits from `first` on, with leading zeros."""
    return [str(number).zfill(width) for number in range(first, 10**width)]


def _people() -> tuple[list[str], list[str]]:
    from faker.providers.person.en_US import Provider

    return list(Provider.first_names), list(Provider.last_names)


def names(issue: Issue) -> pa.Array:
    first, last = _people()
    initials = ["", *(f"{chr(65 + k)}. " for k in range(26))]
    middle = initials if issue.total > len(first) * len(last) // 4 else [""]
    return spell([first, " ", middle, last], issue, "name")


def first_names(issue: Issue) -> pa.Array:
    return spell([_people()[0]], issue, "first_name")


def last_names(issue: Issue) -> pa.Array:
    return spell([_people()[1]], issue, "last_name")


def emails(issue: Issue) -> pa.Array:
    first, last = ([word.lower() for word in words if word.isalpha()] for words in _people())
    return spell([first, ".", last, ["", *digits(2)], "@", _DOMAINS], issue, "email")


def phones(issue: Issue) -> pa.Array:
    areas = [str(area) for area in range(201, 990) if area % 100 != 11]
    return spell(["+1-", areas, "-555-", digits(4)], issue, "phone")


def addresses(issue: Issue) -> pa.Array:
    from faker.providers.address.en_US import Provider

    houses = [str(number) for number in range(1, 1000)]
    streets = [f" {suffix}, " for suffix in Provider.street_suffixes]
    return spell([houses, " ", _people()[1], streets, _people()[1], list(Provider.city_suffixes)], issue, "address")


def uuids(issue: Issue) -> pa.Array:
    n = len(issue)
    raw = np.frombuffer(issue.rng.bytes(16 * n), dtype=np.uint8).reshape(n, 16).copy()
    raw[:, 6] = (raw[:, 6] & 0x0F) | 0x40  # version 4
    raw[:, 8] = (raw[:, 8] & 0x3F) | 0x80  # its variant, RFC 9562
    text = raw.tobytes().hex()
    rows = (text[at : at + 32] for at in range(0, 32 * n, 32))
    return pa.array([f"{r[:8]}-{r[8:12]}-{r[12:16]}-{r[16:20]}-{r[20:]}" for r in rows], pa.string())


def ibans(issue: Issue) -> pa.Array:
    accounts = issue.places(10**18, "iban")
    # ISO 13616: the check digits make the number with "DE00" as 131400 behind it leave 1 when divided by 97.
    return pa.array(
        [f"DE{98 - (int(account) * 10**6 + 131400) % 97:02d}{int(account):018d}" for account in accounts], pa.string()
    )


def cards(issue: Issue) -> pa.Array:
    bodies = issue.places(10**14, "credit_card") + 4 * 10**14
    figures = (bodies[:, None] // 10 ** np.arange(14, -1, -1)) % 10
    doubled = figures * np.where(np.arange(15) % 2 == 0, 2, 1)  # Luhn: every second from the right, the check digit not counted
    check = -(np.where(doubled > 9, doubled - 9, doubled).sum(axis=1)) % 10
    return pa.array(bodies * 10 + check).cast(pa.string())


def addresses_of_computers(issue: Issue) -> pa.Array:
    byte = [str(number) for number in range(256)]
    return spell(["10.", byte, ".", byte, ".", byte], issue, "ip")


def urls(issue: Issue) -> pa.Array:
    words = _words()
    return spell(["https://", _DOMAINS, "/", words, "-", words, "/", [str(k) for k in range(100)]], issue, "url")


def social_security_numbers(issue: Issue) -> pa.Array:
    return spell([digits(3, 900), "-", digits(2, 1), "-", digits(4, 1)], issue, "ssn")


def sentences(issue: Issue) -> pa.Array:
    """Placeholder sentences of 4 to 14 words; they may repeat, though hardly ever do."""
    words = pa.array(_words(), pa.string())
    lengths = issue.rng.integers(4, 15, len(issue))
    drawn = words.take(pa.array(issue.rng.integers(0, len(words), int(lengths.sum()))))
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, drawn), " ")
    return pc.binary_join_element_wise(pc.utf8_capitalize(joined), ".", "")


def _words() -> list[str]:
    from faker.providers.lorem.en_US import Provider

    return list(Provider.word_list)


ISSUERS: dict[str, Callable[[Issue], pa.Array]] = {
    "address": addresses,
    "credit_card": cards,
    "email": emails,
    "first_name": first_names,
    "iban": ibans,
    "ip": addresses_of_computers,
    "last_name": last_names,
    "name": names,
    "phone": phones,
    "ssn": social_security_numbers,
    "text": sentences,
    "url": urls,
    "uuid": uuids,
}

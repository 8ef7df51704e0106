"""Personal details: a pair of texts on either side of every edge, and the same answer however a pool is cut."""

from __future__ import annotations

import base64
import ipaddress
import random
import re
import string

import numpy as np
import pytest

from assay.annotate.pii import Pii
from assay.kernels.pii import KINDS, details
from assay.types import Batch, Texts

FOUND = [
    ("email", "Write to ann.lee+x@mail.co.uk.", "ann.lee+x@mail.co.uk"),
    ("email", "邮箱ann@qq.com联系", "ann@qq.com"),
    ("email", "<mailto:a_b-c%d@x-y.museum>", "a_b-c%d@x-y.museum"),
    ("email", "ANN@MAIL.ORG", "ANN@MAIL.ORG"),
    ("phone", "at +44 20 7946 0018, please", "+44 20 7946 0018"),
    ("phone", "+46 (0)8 928 571 38", "+46 (0)8 928 571 38"),
    ("phone", "(call 212-555-0199)", "212-555-0199"),
    ("phone", "(212) 555-0199", "(212) 555-0199"),
    ("phone", "1-800-555-0199.", "1-800-555-0199"),
    ("phone", "212.555.0199x4587", "212.555.0199x4587"),
    ("phone", "au 01.84.17.61.18 ou", "01.84.17.61.18"),
    ("phone", "07700 900 966", "07700 900 966"),
    ("phone", "001-518-640-0854", "001-518-640-0854"),
    ("phone", "Phone:\n467 3395\n", "467 3395"),
    ("phone", "电话13800138000", "13800138000"),
    ("phone", "тел. 812 345 67 89", "812 345 67 89"),
    ("card", "4111111111111111", "4111111111111111"),
    ("card", "4111 1111 1111 1111, 12/27", "4111 1111 1111 1111"),
    ("card", "3782-822463-10005", "3782-822463-10005"),
    ("card", "30569309025904", "30569309025904"),
    ("card", "my card is 630427373398", "630427373398"),
    ("iban", "GB82 WEST 1234 5698 7654 32.", "GB82 WEST 1234 5698 7654 32"),
    ("iban", "de89370400440532013000", "de89370400440532013000"),
    ("ssn", "SSN 460-89-9847", "460-89-9847"),
    ("ip", "from 106.31.73.20:8080", "106.31.73.20"),
    ("ip", "the server 8.8.8.8 is", "8.8.8.8"),
    ("ip", "2a00:1450:4001:81b::200e", "2a00:1450:4001:81b::200e"),
    ("ip", "[6e40:4041:c617:e898:c11:40d2:c669:2eb4]", "6e40:4041:c617:e898:c11:40d2:c669:2eb4"),
    ("secret", "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ("secret", "x = 'ghp_" + "a1B2" * 9 + "'", "ghp_" + "a1B2" * 9),
    ("secret", "AIza" + "Sy0-_" * 7, "AIza" + "Sy0-_" * 7),
    ("secret", "xoxb-123456789012-abcdefGHIJKL", "xoxb-123456789012-abcdefGHIJKL"),
    ("secret", "Bearer eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeKKF2QT4", "eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeKKF2QT4"),
    ("secret", 'api_key = "8f14e45fceea167a5a36dedd4bea2543"', "8f14e45fceea167a5a36dedd4bea2543"),
    ("secret", "DB_PASSWORD=hV7x+Qm2/Lr9wTz4Yk8s", "hV7x+Qm2/Lr9wTz4Yk8s"),
    (
        "secret",
        "k:\n-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----\nz",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----",
    ),
]  # fmt: skip
NOT_FOUND = [
    "user@host and @handle and lodash@4.17.21 and icon@2x.png",  # no domain, no local part, a version, a file
    "git@github.com:owner/name.git",
    "email@example.com and a@mail.example.org",  # nobody's
    "@ann@mastodon.social",  # a handle
    "on 2000-04-16 11:34:35, or 16.04.2000, or 12/1/1981",  # dates
    "1999-2004 and 1914 - 1918",
    "population 1 234 567 in 300 400 5000 tables",
    "pi is 3.14159265358979 and 0.4111111111111111",
    "order 4111111111111112",  # Luhn fails
    "id 1234567812345670",  # Luhn holds, no issuer, no word
    "9" * 40 + " 4111111111111111" + "1" * 9,  # within longer digits
    "x4111111111111111",
    "GB83 WEST 1234 5698 7654 32",  # 97 fails
    "GB82WEST1234569876543",  # too short
    "000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000",
    "106.31.73.256",
    "106.31.73.020",
    "106.31.73.20.5",
    "version 106.31.73.20, v106.31.73.20",
    "section 13.2.1.4 and 1.2.3.4",
    "192.168.1.100 10.0.0.200 127.0.0.1 172.16.254.1 169.254.100.1 192.0.2.1 224.0.0.251",  # not public
    "12:34:56 and ab:cd:ef:01:23:45 and std::vector and fe80::1ff:fe23:4567:890a and 2001:db8::8a2e",
    "AKIAIOSFODNN7EXAMPL",  # a byte short
    "ghp_short1",
    "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",  # a hash, given to nothing
    "token: 550e8400-e29b-41d4-a716-446655440000",  # a UUID
    "password: correcthorsebatterystaple",  # no digit
    "secret = aaaaaaaaaaaaaaaa1",  # no entropy
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "ISBN 978-3-16-148410-0, $1,234,567,890, 50%, 1e10",
    "",
]


def spans(text: str) -> list[tuple[str, str]]:
    raw = text.encode()
    found = details(np.frombuffer(raw, np.uint8), np.array([0, len(raw)]))
    return [(KINDS[kind], raw[start:stop].decode()) for _, start, stop, kind in found.tolist()]


@pytest.mark.parametrize(("kind", "text", "detail"), FOUND)
def test_one_side_of_the_edge(kind: str, text: str, detail: str) -> None:
    assert spans(text) == [(kind, detail)]


@pytest.mark.parametrize("text", NOT_FOUND)
def test_the_other_side(text: str) -> None:
    assert spans(text) == []


def test_every_octet_is_as_the_standard_library_says() -> None:
    chance = random.Random(1)
    for _ in range(3000):
        octets = [
            chance.choice([0, 1, 10, 99, 100, 127, 169, 172, 192, 198, 203, 224, 255, 256, 300]) for _ in range(4)
        ]
        text = ".".join(map(str, [octets[0], *(chance.choice([o, chance.randrange(256)]) for o in octets[1:])]))
        try:
            address = ipaddress.ip_address(text)
            public = address.is_global and not address.is_multicast
        except ValueError:
            public = False
        special = text.startswith(("192.88.99.", "192.31.196.", "192.52.193.", "192.175.48.", "192.0.0."))
        assert special or bool(spans(f"ip {text} ")) == public, text


def luhn(digits: str) -> bool:
    return sum(sum(divmod(int(digit) * (1 + place % 2), 10)) for place, digit in enumerate(reversed(digits))) % 10 == 0


def test_checksums_are_what_they_should_be() -> None:
    chance = random.Random(2)
    for _ in range(2000):
        digits = "4" + "".join(chance.choices(string.digits, k=15))
        assert (("card", digits) in spans(f"[{digits}]")) == luhn(digits)
        body = "".join(chance.choices(string.digits + string.ascii_uppercase, k=4)) + "".join(
            chance.choices(string.digits, k=14)
        )
        check = 98 - int("".join(str(int(c, 36)) for c in body + "GB00")) % 97
        assert spans(f"GB{check:02}{body}") == [("iban", f"GB{check:02}{body}")]
        wrong = (check + chance.randrange(1, 90)) % 100
        if wrong % 97 != check % 97:
            assert ("iban", f"GB{wrong:02}{body}") not in spans(f"GB{wrong:02}{body}")


EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+@-])[A-Za-z0-9_][A-Za-z0-9._%+-]{0,20}(?<!\.)@(?:[a-z0-9]+\.)+(?:com|org|net|de)(?![\w.@-])"
)


def test_every_plain_address_is_found() -> None:
    chance = random.Random(3)
    pieces = ["ann", "b.c", "_x", "@", "mail", ".", "com", " ", "é", "de", "9", "-", ",", "\n", "<", ">"]
    for _ in range(5000):
        text = "".join(chance.choices(pieces, k=12))
        found = {detail for kind, detail in spans(text) if kind == "email"}
        assert {hit for hit in EMAIL.findall(text) if hit.count("@") == 1} <= found, text


def soup(seed: int, count: int) -> list[str]:
    """Texts of pieces of details, in every order."""
    chance = random.Random(seed)
    pieces = [
        "call ", "+44", "20", " 7946", "-0018", "(212)", " ", "555", "-", "0199", ".", "@", "ann", "mail.org", "\n",
        "4111111111111111", "GB82 WEST 1234 5698 7654 32", "106.31", ".73.20", ":", "2a00", "::", "1450", "token=", '"',
        "AKIAIOSFODNN7EXAMPLE", "é", "电话", "-----BEGIN PRIVATE KEY-----", "-----END", "ip ", "x1", "460-89-9847", "card ",
        "eyJ", "/", "0", "01", "8f14e45fceea167a",
    ]  # fmt: skip
    return ["".join(chance.choices(pieces, k=chance.randrange(14))) for _ in range(count)]


def batch(texts: list[str]) -> Batch:
    return Batch(np.arange(len(texts)), np.zeros(len(texts), np.uint64), {"text": Texts.of(texts)})


def test_rows_are_looked_at_one_by_one() -> None:
    texts = soup(4, 400)
    whole = Pii().annotate(batch(texts), {})
    for row, text in enumerate(texts):
        for name, column in Pii().annotate(batch([text]), {}).items():
            assert whole[name][row] == column[0], (text, name)
    part = batch(texts).text.take(np.arange(100, 200))
    cut = Texts(batch(texts).text.data, batch(texts).text.offsets[100:201])  # offsets that do not begin at 0
    assert (details(part.data, part.offsets)[:, [0, 3]] == details(cut.data, cut.offsets)[:, [0, 3]]).all()


def test_spans_never_overlap_and_lie_in_their_rows() -> None:
    texts = batch(soup(5, 3000)).text
    row, start, stop, kind = details(texts.data, texts.offsets).T
    assert len(row) > 1000 and set(kind.tolist()) == set(range(len(KINDS)))
    assert (start < stop).all() and (stop[:-1] <= start[1:]).all()
    assert (texts.offsets[row] <= start).all() and (stop <= texts.offsets[row + 1]).all()


def test_counts_and_share() -> None:
    columns = Pii().annotate(batch(["a@b.org +44 20 7946 0018", "nothing", ""]), {})
    assert columns["pii_email"].tolist() == columns["pii_phone"].tolist() == [1, 0, 0]
    assert columns["pii_contacts"].tolist() == [2, 0, 0]
    assert columns["pii_share"].tolist() == [23 / 24, 0, 0]
    assert Pii().annotate(batch([]), {})["pii_card"].shape == (0,)


def test_noise_holds_no_secret() -> None:
    noise = base64.b64encode(random.Random(6).randbytes(200_000)).decode()
    lines = "\n".join(noise[at : at + 76] for at in range(0, len(noise), 76))
    assert [kind for kind, _ in spans(lines)] == []


def test_ipv6_is_as_the_standard_library_says() -> None:
    chance, found = random.Random(9), 0
    for _ in range(2000):
        groups = [f"{chance.choice([0, 1, 0xAB, 0x2A00, 0x2001, 0xDB8, 0x3FFF, 0x81B, 0x200E]):x}" for _ in range(8)]
        groups[0] = chance.choice(["2a00", "2400", "3000", "fe80", "fd12", "ff02"])
        hole = chance.randrange(1, 7)
        text = ":".join(groups) if chance.random() < 0.5 else ":".join(groups[:hole]) + "::" + groups[7]
        address = ipaddress.ip_address(text)
        public = address.is_global and not address.is_multicast
        assert (spans(f"[{text}]") == [("ip", text)]) == public, text
        found += public
        assert spans(f"{text}:1:2:3:4:5:6:7") == [] and spans(f"x{text}") == []
    assert 500 < found < 1500

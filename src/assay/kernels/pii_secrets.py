"""Secrets in bytes of UTF-8: tokens that their makers mark by a prefix, private keys, and values given to a secret's name.

    prefix      a known beginning, then at least so many bytes of the token's alphabet, at least one digit among them
    JWT         eyJ…, a point, eyJ…, a point, at least 10 bytes of base64url
    key         -----BEGIN … PRIVATE KEY----- to the end of the block, or of its first line where the end is missing
    assigned    after a name that ends in api_key, token, secret, password … and one of : = >, 16 bytes and more with a
                digit, a letter and at least 3 bits of entropy a byte, H = -sum_c p_c log2 p_c, and no UUID

A hash or an identifier that no such name stands before is no secret. Sources: the makers' own pages, for one
https://docs.github.com/en/authentication (token formats), RFC 7519 (2015) for JWT and RFC 7468 (2015) for keys.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64, UInt8
from numba import njit

from assay.kernels.pii_numbers import at_or_zero, is_digit, is_word, packed

_UPPER, _ALNUM, _URL, _BASE64 = 1, 2, 4, 8  # alphabets: A-Z 2-7; letters and digits; these and _ -; these and + / =
_IN = np.zeros(256, np.uint8)
_IN[65:91] = _UPPER | _ALNUM | _URL | _BASE64
_IN[97:123] = _ALNUM | _URL | _BASE64
_IN[48:58] = _ALNUM | _URL | _BASE64 | _UPPER
_IN[[45, 95]] = _URL | _BASE64
_IN[[43, 47, 61]] = _BASE64
# A prefix, the alphabet after it, the fewest and the most bytes of it.
_FORMS = (
    ("AKIA", _UPPER, 16, 16), ("ASIA", _UPPER, 16, 16),  # Amazon
    ("AIza", _URL, 35, 35), ("ya29.", _URL, 20, 2000), ("GOCSPX-", _URL, 28, 28),  # Google
    ("ghp_", _ALNUM, 36, 255), ("gho_", _ALNUM, 36, 255), ("ghu_", _ALNUM, 36, 255), ("ghs_", _ALNUM, 36, 255),
    ("ghr_", _ALNUM, 36, 255), ("github_pat_", _URL, 22, 255), ("glpat-", _URL, 20, 255),  # GitHub, GitLab
    ("xoxb-", _URL, 20, 255), ("xoxp-", _URL, 20, 255), ("xoxa-", _URL, 20, 255), ("xoxr-", _URL, 20, 255),
    ("xoxs-", _URL, 20, 255), ("xapp-", _URL, 20, 255),  # Slack
    ("sk-", _URL, 32, 255), ("sk_live_", _ALNUM, 20, 255), ("rk_live_", _ALNUM, 20, 255),  # OpenAI and alike, Stripe
    ("hf_", _ALNUM, 34, 40), ("npm_", _ALNUM, 36, 36), ("pypi-", _URL, 50, 255), ("dop_v1_", _ALNUM, 64, 64),
    ("SG.", _URL, 22, 255), ("shpat_", _ALNUM, 32, 32), ("whsec_", _BASE64, 32, 255),
)  # fmt: skip
_PREFIXES, _PREFIX_ENDS = packed(" ".join(form[0] for form in _FORMS))
_RULES = np.array([form[1:] for form in _FORMS], np.int64)
PREFIX_PAIRS = np.zeros((256, 256), np.bool_)  # whether a prefix, or a JWT, begins with these two bytes
for _form in (*_FORMS, ("eyJ",)):
    PREFIX_PAIRS[ord(_form[0][0]), ord(_form[0][1])] = True
_NAMES, _NAME_ENDS = packed(
    "apikey api_key api-key access_key access-key accesskey secret_key secret-key secretkey private_key account_key token secret "
    "password passwd pwd passphrase auth credential credentials bearer"
)
_BEGIN, _ = packed("-----BEGIN")
_END, _ = packed("-----END")
_PRIVATE = np.frombuffer(b"PRIVATE KEY", np.uint8)
_BEARER = len(_NAME_ENDS) - 2  # the last of the names
LONG, _MOST, _ENTROPY = 16, 512, 3.0
_BLOCK = 1 << 14  # bytes in which a private key must end


@njit(cache=True, nogil=True, _nrt=False)
def _stands(data: UInt8[np.ndarray, "m"], at: int, stop: int, word: UInt8[np.ndarray, "m"]) -> bool:
    """Whether the word stands at a place."""
    if at + len(word) > stop:
        return False
    for k in range(len(word)):  # noqa: SIM110 (numba has no all())
        if data[at + k] != word[k]:
            return False
    return True


@njit(cache=True, nogil=True, _nrt=False)
def _body(data: UInt8[np.ndarray, "m"], at: int, stop: int, alphabet: int) -> tuple[int, int]:
    """(end of the run of an alphabet, digits in it)."""
    digits = 0
    while at < stop and _IN[data[at]] & alphabet:
        digits += is_digit(data[at])
        at += 1
    return at, digits


@njit(cache=True, nogil=True, _nrt=False)
def marked_end(data: UInt8[np.ndarray, "m"], at: int, start: int, stop: int) -> int:
    """The end of the token of a known prefix, or of the JWT, that begins here; 0 for none."""
    if at + 12 > stop or not PREFIX_PAIRS[data[at], data[at + 1]]:
        return 0
    if data[at] == 101:
        return _jwt_end(data, at, stop)
    for form in range(len(_RULES)):
        first, last = _PREFIX_ENDS[form], _PREFIX_ENDS[form + 1]
        if _stands(data, at, stop, _PREFIXES[first:last]):
            end, digits = _body(data, at + last - first, stop, _RULES[form, 0])
            size = end - at - (last - first)
            whole = not is_word(at_or_zero(data, end, start, stop))
            if digits and whole and _RULES[form, 1] <= size <= _RULES[form, 2]:
                return end
    return 0


@njit(cache=True, nogil=True, _nrt=False)
def _jwt_end(data: UInt8[np.ndarray, "m"], at: int, stop: int) -> int:
    if at + 30 > stop or data[at + 1] != 121 or data[at + 2] != 74:
        return 0
    head, _ = _body(data, at, stop, _URL)
    if head + 4 > stop or data[head] != 46 or data[head + 1] != 101 or data[head + 2] != 121 or data[head + 3] != 74:
        return 0
    claims, _ = _body(data, head + 1, stop, _URL)
    if claims >= stop or data[claims] != 46:
        return 0
    end, _ = _body(data, claims + 1, stop, _URL)
    return end if end - claims > 10 else 0


@njit(cache=True, nogil=True, _nrt=False)
def key_end(data: UInt8[np.ndarray, "m"], at: int, stop: int) -> int:
    """The end of the private key block whose first hyphen is here; 0 for none."""
    if not _stands(data, at, stop, _BEGIN):
        return 0
    line = at + len(_BEGIN)
    private = False
    while line < stop and line < at + 80 and data[line] != 10 and not (private and data[line] == 45):
        private = private or _stands(data, line, stop, _PRIVATE)
        line += 1
    if not private:
        return 0
    while line < stop and data[line] == 45:
        line += 1
    for end in range(line, min(stop, line + _BLOCK)):
        if data[end] == 45 and _stands(data, end, stop, _END):
            while end < stop and data[end] != 10 and not (data[end] == 89 and data[end - 1] == 69):
                end += 1
            end += end < stop and data[end] == 89
            while end < stop and data[end] == 45:
                end += 1
            return end
    return line


@njit(cache=True, nogil=True, _nrt=False)
def _named(data: UInt8[np.ndarray, "m"], at: int, start: int) -> bool:
    """Whether a secret's name and one of : = > stand right before, quotes and spaces left out."""
    place, marks = at - 1, 0
    while place >= start and at - place < 8 and data[place] in (32, 34, 39, 58, 61, 62, 96):
        marks += data[place] in (58, 61, 62)
        place -= 1
    if place < start or not (marks or data[place] | 32 == 114):  # "Bearer" needs no mark
        return False
    for word in range(len(_NAME_ENDS) - 1):
        size = _NAME_ENDS[word + 1] - _NAME_ENDS[word]
        if place - size + 1 < start:
            continue
        same = True
        for k in range(size):
            byte = data[place - size + 1 + k]
            if byte + (32 if 65 <= byte <= 90 else 0) != _NAMES[_NAME_ENDS[word] + k]:
                same = False
                break
        if same and (marks or word == _BEARER):
            return True
    return False


@njit(cache=True, nogil=True, _nrt=False)
def _entropy(data: UInt8[np.ndarray, "m"], at: int, end: int, counts: Float64[np.ndarray, "_"]) -> float:
    """Bits a byte of a span, by the counts of its own bytes."""
    counts[:] = 0
    for k in range(at, end):
        counts[data[k]] += 1
    total = 0.0
    for count in counts:
        if count:
            total -= count / (end - at) * math.log2(count / (end - at))
    return total


@njit(cache=True, nogil=True, _nrt=False)
def assigned_end(data: UInt8[np.ndarray, "m"], at: int, start: int, stop: int, counts: Float64[np.ndarray, "_"]) -> int:
    """The end of the value that begins here, if it was given to a secret's name; 0 for none."""
    before = at_or_zero(data, at - 1, start, stop)
    if before == 32:
        before = at_or_zero(data, at - 2, start, stop)
    if before not in (34, 39, 58, 61, 62, 82, 96, 114) or not _named(data, at, start):
        return 0
    end, digits = _body(data, at, stop, _BASE64)
    letters = 0
    for k in range(at, end):
        letters += (data[k] | 32) >= 97 and (data[k] | 32) <= 122
    if not digits or not letters or not LONG <= end - at <= _MOST:
        return 0
    return 0 if _is_uuid(data, at, end) or _entropy(data, at, end, counts) < _ENTROPY else end


@njit(cache=True, nogil=True, _nrt=False)
def _is_uuid(data: UInt8[np.ndarray, "m"], at: int, end: int) -> bool:
    """Whether a value has the hyphens of a UUID, which names a thing and opens nothing."""
    return end - at == 36 and data[at + 8] == data[at + 13] == data[at + 18] == data[at + 23] == 45

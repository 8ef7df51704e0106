"""What the word cutter knows of characters and of odd words: one table of classes by code point, one of special words.

    classes   uint16 by code point, bits as named below; a character beyond the table has none
    specials  words that are cut in a given way whatever the rules for punctuation say: contractions ("can" + "n't"),
              abbreviations ("e.g."), emoticons; kept as hashes of their bytes with the sizes of their parts

Both follow what spaCy 3.8 does for English (the cutter that datatrove uses), so that counts of words agree with it; the
letters come from Python's own Unicode tables, sentence ends are Unicode's property Sentence_Terminal. `SPECIALS` is
compared with spaCy's own list by `bench/prove_rules.py`.
Source: spaCy (Honnibal and Montani 2017, https://spacy.io/usage/linguistic-features#how-tokenizer-works); Unicode
Standard Annex 44, https://www.unicode.org/reports/tr44/.
"""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import UInt16

SPACE, LETTER, LOWER, UPPER, ALPHABETIC, SYMBOL, TERMINAL, SENTENCE = (1 << bit for bit in range(8))
PREFIX, SUFFIX, QUOTE, STOPPABLE, ICON, MARK, HOST, CURRENCY = (1 << bit for bit in range(8, 16))
SIZE = 0x33480  # the last ideographs end below; beyond lie no letters

# Unicode's Sentence_Terminal; the newer half of it (after Unicode 6) ends a line but not a sentence.
_ENDS = (
    "21 2E 3F 589 61F 6D4 700-702 7F9 964-965 104A-104B 1362 1367-1368 166E 1735-1736 1803 1809 1944-1945 1AA8-1AAB "
    "1B5A-1B5B 1B5E-1B5F 1C3B-1C3C 1C7E-1C7F 203C-203D 2047-2049 2E2E 2E3C 3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 "
    "A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE52 FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57 11047-11048 "
    "110BE-110C1 11141-11143 111C5-111C6 111CD 111DE-111DF 11238-11239 1123B-1123C 112A9 1144B-1144C 115C2-115C3 "
    "115C9-115D7 11641-11642 1173C-1173E 11A42-11A43 11A9B-11A9C 11C41-11C42 16A6E-16A6F 16AF5 16B37-16B38 16B44 1BC9F "
    "1DA88"
)
_NEWER_ENDS = (
    "61D-61E 837 839 83D-83E 17D4-17D6 17D9-17DA 1B7D-1B7E 2E53-2E54 10F55-10F59 10F86-10F89 11944 11946 11EF7-11EF8 "
    "11F43-11F44 16E98"
)
# What is no word by itself: control characters, ASCII punctuation, and the marks that datatrove names.
_SYMBOLS = (
    "0-8 B-1F 22-2D 2F 3A-3E 40 5B-60 7B-9F AB B4 BB 2013-2014 2019 201C-201E 2026 2236 2501 25BA 3001 3008-300D "
    "3010-3011 FF05 FF08-FF09 FF0C FF11 FF1A-FF1B FF5E"
)
# Scripts without upper and lower case, by their blocks: Hebrew to Thai neighbours, Ethiopic, Hangul, kana, ideographs.
_CASELESS = (
    "591-5F4 620-64A 66E-6D5 6E5-6FF 750-77F 8A0-8BD 900-97F 980-9FF B80-BFF C00-C7F C80-CFF D80-DFF 1100-11FF "
    "1200-137F 2E80-2FDF 2FF0-303F 3040-30FF 31C0-31EF 3200-4DBF 4E00-9FFF AC00-D7AF F900-FAFF FB1D-FB4F FB50-FBB1 "
    "FBD3-FD3D FD50-FDC7 FDF0-FDFB FE30-FE4F FE70-FEFC 1EE00-1EEBB 1F200-1F2FF 20000-2A6DF 2A700-2EBEF 2F800-2FA1F"
)
_CASED = "41-5A 61-7A C0-D6 D8-F6 F8-1BF 1C4-2AF 386-3CE 401-45F 492-493 496-497 4A2-4A3 4AE-4AF 4BA-4BB 4D8-4D9 4E8-4E9 "
_CASED += "1D00-1D25 1D6B-1D77 1D79-1D9A 1E00-1EFF 2C60-2C7B 2C7E-2C7F A722-A78E A790-A7B9 A7FA AB30-AB64 FF21-FF3A FF41-FF5A"
# Unicode's "other symbols" (dingbats, arrows, emoji), roughly.
_ICONS = (
    "A6 A9 AE B0 482 58D-58E 60E-60F 6DE 6E9 6FD-6FE 7F6 9FA B70 BF3-BF8 BFA C7F D4F D79 F01-F03 F13 2100-2101 2103-2106 "
    "2108-2109 2114 2116-2117 211E-2123 2125 2127 2129 212E 213A-213B 214A 214C-214D 214F 2195-2199 219C-219F 21A1-21A2 "
    "21A4-21A5 21A7-21AD 21AF-21CD 21D0-21D1 21D3 21D5-21F3 2300-2307 230C-231F 2322-2328 232B-237B 237D-239A 23B4-23DB "
    "23E2-2426 2440-244A 249C-24E9 2500-25B6 25B8-25C0 25C2-25F7 2600-266E 2670-2767 2794-27BF 2800-28FF 2B00-2B2F "
    "2B45-2B46 2B4D-2BFE 2CE5-2CEA 2E80-2FFB 3004 3012-3013 3020 3036-3037 303E-303F 3190-3191 3196-319F 31C0-31E3 "
    "3200-321E 322A-3247 3250 3260-327F 328A-32B0 32C0-33FF 4DC0-4DFF A490-A4C6 FDFD FFE4 FFE8 FFED-FFEE FFFC-FFFD "
    "1D000-1D164 1D16A-1D16C 1D300-1D356 1F000-1F0F5 1F110-1F23B 1F240-1F265 1F300-1F3FA 1F400-1F9FF 1FA60-1FA6D"
)
_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧"
_MARKS = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
_CURRENCY = "$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫₭₮₯₰₱₲₳₵₶₷₸₹₺₻₼₾₿"
# Units that are cut off a number, at most four characters each.
UNITS = (
    "km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz m/s km/h kmh mph hPa Pa "
    "mbar mb MB kb KB gb GB tb TB T G M K %"
).split()


def _points(ranges: str) -> list[int]:
    """Code points of `A-B C …` in hexadecimal."""
    pairs = [(part.split("-") * 2)[:2] for part in ranges.split()]
    return [point for first, last in pairs for point in range(int(first, 16), int(last, 16) + 1)]


@functools.cache
def classes() -> UInt16[np.ndarray, "u"]:
    """The bits of every code point below SIZE.

    >>> [bool(classes()[ord(letter)] & UPPER) for letter in "Aa日"]
    [True, False, True]
    """
    characters = [chr(point) for point in range(SIZE)]
    table = np.zeros(SIZE, np.uint16)

    def add(bit: int, points: list[int] | np.ndarray) -> None:
        table[np.asarray(points, np.int64)] |= np.uint16(bit)

    cased, caseless = _points(_CASED), _points(_CASELESS)
    add(SPACE, [point for point in range(0x3001) if characters[point].isspace()])
    add(ALPHABETIC, np.flatnonzero(np.fromiter(map(str.isalpha, characters), bool, SIZE)))
    add(LETTER, [*cased, *caseless])
    add(LOWER, [*caseless, *(point for point in cased if not characters[point].isupper())])
    add(UPPER, [*caseless, *(point for point in cased if not characters[point].islower())])
    add(TERMINAL, _points(f"{_ENDS} {_NEWER_ENDS}"))
    add(SENTENCE, _points(_ENDS))
    add(SYMBOL, _points(f"{_ENDS} {_NEWER_ENDS} {_SYMBOLS}"))
    add(ICON | PREFIX | SUFFIX, _points(_ICONS))
    add(QUOTE | PREFIX | SUFFIX, [ord(mark) for mark in _QUOTES])
    add(PREFIX | SUFFIX, [ord(mark) for mark in _MARKS + "–—"])
    add(PREFIX, [ord(mark) for mark in _CURRENCY + "§%="])
    add(CURRENCY, [ord(mark) for mark in _CURRENCY])
    # After these a full stop is cut off.
    add(STOPPABLE, [ord(mark) for mark in _QUOTES + _MARKS + "|%²-+0123456789"])
    add(STOPPABLE, np.flatnonzero(table & LOWER))
    add(HOST, [*range(0xA1, 0x10000), *(ord(character) for character in characters[:128] if character.isalnum())])
    # Punctuation in the sense of Unicode, so that a sentence does not begin with it.
    add(MARK, [ord(mark) for mark in "!\"#%&'()*,-./:;?@[\\]_{}¡§«¶·»¿、。・！？，：；（）"])
    add(MARK, [*range(0x2010, 0x2028), *range(0x2030, 0x2044), *range(0x2045, 0x2052), *range(0x3008, 0x3012)])
    add(MARK, _points(_ENDS))
    return table


# --- Special words ----------------------------------------------------------------------------------------------------

_ABBREVIATIONS = (
    "'S 's \u2018S \u2018s and/or w/o 're 'Cause 'cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout ma'am Ma'am o'clock O'clock "
    "lovin' Lovin' lovin Lovin havin' Havin' havin Havin Mt. Ak. Ala. Apr. Ariz. Ark. Aug. Calif. Colo. Conn. Dec. Del. "
    "Feb. Fla. Ga. Ia. Id. Ill. Ind. Jan. Jul. Jun. Kan. Kans. Ky. La. Mar. Mass. Mich. Minn. Miss. N.C. N.D. N.H. N.J. "
    "N.M. N.Y. Neb. Nebr. Nev. Nov. Oct. Okla. Ore. Pa. S.C. Sep. Sept. Tenn. Va. Wash. Wis. 'd a.m. Adm. Bros. co. Co. "
    "Corp. D.C. Dr. e.g. E.g. E.G. Gen. Gov. i.e. I.e. I.E. Inc. Jr. Ltd. Md. Messrs. Mo. Mont. Mr. Mrs. Ms. p.m. Ph.D. "
    "Prof. Rep. Rev. Sen. St. vs. v.s. \\t \\n \u2014 ' \\\") <space> '' C++ ä. ö. ü. em 'em ll 'll nuff 'nuff "
)  # fmt: skip
_EMOTICONS = (
    ":) :-) :)) :-)) :))) :-))) (: (-: =) (= :] :-] [: [-: [= =] :o) (o: :} :-} 8) 8-) (-8 ;) ;-) (; (-; :( :-( :(( :-(( "
    ":((( :-((( ): )-: =( >:( :') :'-) :'( :'-( :/ :-/ =/ =| :| :-| ]= =[ :1 :P :-P :p :-p :O :-O :o :-o :0 :-0 :() >:o :* "
    ":-* :3 :-3 =3 :> :-> :X :-X :x :-x :D :-D ;D ;-D =D xD XD xDD XDD 8D 8-D ^_^ ^__^ ^___^ >.< >.> <.< ._. ;_; -_- -__- "
    "v.v V.V v_v V_V o_o o_O O_o O_O 0_o o_0 0_0 o.O O.o O.O o.o 0.0 o.0 0.o @_@ <3 <33 <333 </3 (^_^) (-_-) (._.) (>_<) "
    "(*_*) (¬_¬) ಠ_ಠ ಠ︵ಠ (ಠ_ಠ) ¯\\(ツ)/¯ (╯°□°）╯︵┻━┻ ><(((*>"
)
_OTHER = (
    "y' all|y all|how 'd 'y|How 'd 'y|not 've|not ve|Not 've|Not ve|can not|Can not|gon na|Gon na|got ta|Got ta|let 's|"
    "Let 's|c'm on|C'm on"
)
# Words that the endings below would make and that are words of their own.
_WHOLE = "Ill ill Its its Hell hell Shell shell Shed shed were Were Well well Whore whore".split()


def _with_endings(words: str, endings: str) -> list[list[str]]:
    """Every word, small and capital, with every ending (parts joined by `+`), with and without apostrophes."""
    made = []
    for word in words.split():
        for first in (word, word.title()):
            for ending in endings.split():
                parts = ending.split("+")
                made += [[first, *parts], [first, *(part.replace("'", "") for part in parts)]]
    return made


def _parts() -> list[list[str]]:
    """The special words as lists of their parts."""
    pronouns, asking, these = "you he she it we they", "who what when where why how there that this", "these those"
    verbs = "ca could do does did had may might must need ought sha should wo would"
    made = _with_endings("i", "'m 'm+a 'll 'll+'ve 'd 'd+'ve 've")
    made += _with_endings(f"{pronouns} {asking} {these}", "'ll 'll+'ve 'd 'd+'ve")
    made += _with_endings(f"you we they who what when where why how there {these}", "'ve 're")
    made += _with_endings(f"he she it {asking}", "'s")
    made += _with_endings(verbs, "n't n't+'ve")
    made += _with_endings("could might must should would", "'ve")
    made += _with_endings("ai are is was were have has dare", "n't")
    made += [[parts] for word in "doin goin nothin nuthin ol somethin".split() for one in (word, word.title())
             for parts in (one, f"{one}'")]  # fmt: skip
    made += [[str(hour), half] for hour in range(1, 13) for half in ("a.m.", "am", "p.m.", "pm")]
    made += [parts.split() for parts in _OTHER.split("|")]
    made += [[word] for word in f"{_ABBREVIATIONS} {_EMOTICONS}".split()]
    made += [[f"{letter}."] for letter in "abcdefghijklmnopqrstuvwxyz"] + [["°", unit, "."] for unit in "cfkCFK"]
    return made


@functools.cache
def special_words() -> dict[str, tuple[str, ...]]:
    """Special words and their parts; an apostrophe may be curly.

    >>> special_words()["can't"], special_words()["e.g."], special_words()["I’ll"]
    (('ca', "n't"), ('e.g.',), ('I', '’ll'))
    """
    plain = {"".join(parts): tuple(parts) for parts in _parts() if "".join(parts) not in _WHOLE}
    curly = {word.replace("'", "’"): tuple(part.replace("'", "’") for part in parts) for word, parts in plain.items()}
    return {**plain, **curly}

"""Map the synthesizers' phones to visemes."""

from __future__ import annotations

from models.speech import VISEMES

_IPA = {
    "PP": "p b m ɓ ʙ ɸ β",
    "FF": "f v ɱ ʋ",
    "TH": "θ ð",
    "DD": "t d n l ɾ r ʈ ɖ ɳ ɭ ɫ ɗ ɬ ɮ ɺ ɲ ʎ ɟ c",
    "kk": "k ɡ g ŋ x ɣ q ɢ h ɦ ħ ʕ ʔ χ ʁ ʀ ɴ ç ʝ ɰ",
    "CH": "ʃ ʒ ɕ ʑ ʂ ʐ ɧ",
    "SS": "s z",
    "RR": "ɹ ɻ ɚ ɝ",
    "aa": "a ɑ æ ɐ ʌ ɶ",
    "E": "e ɛ ə ɜ ɘ ɤ",
    "I": "i ɪ j ɨ ɯ ᵻ",
    "O": "o ɔ ɒ œ ɵ ɞ",
    "U": "u ʊ w y ʏ ø ʉ ɥ ʍ",
}
_ARPABET = {
    "PP": "P B M",
    "FF": "F V",
    "TH": "TH DH",
    "DD": "T D N L DX EL EN NX",
    "kk": "K G NG HH HV H",
    "CH": "CH JH SH ZH",
    "SS": "S Z",
    "RR": "R ER AXR",
    "aa": "AA AE AH",
    "E": "EH AX AX-H",
    "I": "IH IY Y IX",
    "O": "AO OW",
    "U": "UH UW W UX",
}
_ITALIAN = {
    "PP": "p b m",
    "FF": "f v",
    "DD": "t d n l r L J",
    "kk": "k g",
    "CH": "S tS dZ",
    "SS": "s z ts dz",
    "aa": "a",
    "E": "e E",
    "I": "i j",
    "O": "o O",
    "U": "u w",
}
_DIPHTHONGS = {"AY": ("aa", "I"), "AW": ("aa", "U"), "EY": ("E", "I"), "OY": ("O", "I"), "OW": ("O", "U")}
_AFFRICATES = {"CH": ("tʃ", "dʒ", "tɕ", "dʑ", "ʈʂ", "tʂ", "dʐ"), "SS": ("ts", "dz")}


def _table(words: dict[str, str]) -> dict[str, str]:
    return {phone: viseme for viseme, phones in words.items() for phone in phones.split()}


_IPA_TABLE, _ARPABET_TABLE, _ITALIAN_TABLE = _table(_IPA), _table(_ARPABET), _table(_ITALIAN)
_JOINED = {phone: viseme for viseme, phones in _AFFRICATES.items() for phone in phones}


def of_ipa(phone: str) -> list[int]:
    """Visemes of one phone of espeak-ng, in spoken order; silence if it has none."""
    if phone in _JOINED:
        return [VISEMES.index(_JOINED[phone])]
    names: list[str] = []
    for sign in phone:
        name = _IPA_TABLE.get(sign)
        if name and (not names or names[-1] != name):
            names.append(name)
    return [VISEMES.index(name) for name in names] or [0]


def of_arpabet(phone: str) -> list[int]:
    """Visemes of one phone of flite or of an English voice of festival."""
    name = phone.upper()
    if name in _DIPHTHONGS:
        return [VISEMES.index(part) for part in _DIPHTHONGS[name]]
    return [VISEMES.index(_ARPABET_TABLE.get(name, "sil"))]


def of_italian(phone: str) -> list[int]:
    """Visemes of one phone of festival's Italian voices; stressed vowels end in a digit."""
    return [VISEMES.index(_ITALIAN_TABLE.get(phone.rstrip("0123456789"), "sil"))]

"""What is never posted, by rules: threats, hate, sexual content, spam, and orders to a model.

The rules know common English forms and stand behind the model, which may be talked out of anything:
what they find unsafe stays so whatever the model says. Operators add words in ``policies.toml``.
"""

import re
from collections.abc import Sequence

from marquee.tweets.characters import reading
from marquee.tweets.text import entities

MAX_MENTIONS = 5
"""More is what X calls mass mentioning."""

MAX_HASHTAGS = 10
MAX_LINKS = 3

_WHOM = r"(?:you|him|her|them|those|these|u|ya|every(?:one|body)|people|all of)"
_PEOPLE = (
    r"(?:muslims?|jews?|christians?|hindus?|blacks?|whites?|asians?|arabs?|immigrants?|migrants?|"
    r"refugees?|gays?|lesbians?|trans(?:gender)?(?: people)?|women|men|foreigners|gypsies|roma)"
)

_RULES = tuple(
    (reason, re.compile(pattern, re.IGNORECASE))
    for reason, pattern in (
        (
            "a threat of violence",
            r"\b(?:(?:i|we)(?:'ll|'m| will| am| are|'re)?\s*(?:gonna|going to|want to|about to)?|"
            rf"gonna|let's)\s*(?:kill|murder|shoot|stab|lynch|behead|bomb|hang)\s+{_WHOM}\b",
        ),
        (
            "a threat of violence",
            r"\b(?:kill|hang)\s+(?:your|ur)\s*sel(?:f|ves)\b|\bkys\b|\bdeserves?\s+to\s+(?:die|be\s+"
            r"(?:shot|raped|killed|hanged))\b|\bshould\s+(?:all\s+)?be\s+(?:shot|hanged|lynched|"
            r"exterminated|gassed|raped|killed)\b",
        ),
        (
            "hate",
            rf"\b{_PEOPLE}\b\s+(?:are|is)\s+(?:all\s+)?(?:an?\s+)?(?:vermin|subhumans?|animals|"
            r"parasites?|filth|cockroach(?:es)?|trash|scum|disease|inferior)\b",
        ),
        (
            "hate",
            r"\b(?:i|we)\s+(?:really\s+|all\s+)?hate\s+(?:all\s+|the\s+|those\s+)?"
            rf"{_PEOPLE}\b|\bgas\s+the\b|\b(?:death|send)\s+to\s+(?:all\s+)?{_PEOPLE}\b|"
            r"\bgo\s+back\s+to\s+your\s+(?:own\s+)?country\b|\bheil\s+hitler\b|\bwhite\s+power\b",
        ),
        (
            "sexual content",
            r"\b(?:onlyfans|porn(?:o|hub)?|nudes?\s+(?:in|for|leaked|dm)|send\s+nudes|nsfw|xxx|"
            r"sex\s*(?:tape|cam|chat)|hook\s?ups?\s+(?:in|near)|camgirls?|escorts?\s+(?:in|near)|"
            r"hot\s+singles)\b",
        ),
        (
            "spam",
            r"\b(?:free|claim\s+your|instant)\s+(?:crypto|bitcoin|btc|eth|airdrop|nft|money|"
            r"robux|v-?bucks|gift\s?cards?)\b|\bdouble\s+your\s+(?:money|bitcoin|btc|crypto|eth)\b|"
            r"\bguaranteed\s+(?:returns?|profits?|income)\b|\b(?:earn|make)\s+\$?\d[\d,.]*\s*\$?\s*"
            r"(?:a|per|every|/)\s*(?:day|week|hour|month)\b|\bfollow\s*(?:4|for)\s*follow\b|\bf4f\b|"
            r"\bclick\s+(?:here|the\s+link)\s+(?:to|and)\s+(?:win|claim|earn|verify)\b|"
            r"\bverify\s+your\s+(?:account|wallet|password)\b|\bseed\s+phrase\b|"
            r"\b(?:whatsapp|telegram)\s+(?:me|us)\s+(?:at|on|for)\b|\bsend\s+\S+\s+(?:btc|eth)\b",
        ),
        (
            "orders to a model",
            r"\b(?:ignore|disregard|forget|override|bypass)\s+(?:all\s+|any\s+|every\s+|the\s+|your\s+"
            r"|of\s+|these\s+|my\s+)*(?:previous|prior|above|earlier|preceding|system|safety|"
            r"developer|content|existing|former)?\s*(?:instructions?|prompts?|rules|guidelines|"
            r"polic(?:y|ies)|directives?|constraints?)\b|\bsystem\s+(?:prompt|message|override)\b|"
            r"<\|[a-z_]+\|>|\[/?(?:inst|sys|system)\]|<</?sys>>|</?(?:system|assistant|untrusted)\w*>|"
            r"^\W*(?:system|assistant|developer)\s*:|\byou\s+are\s+now\s+(?:an?\s+|in\s+)?(?:dan|"
            r"unrestricted|jailbroken|developer|free|evil)\b|\bjailbreak\b|\bdeveloper\s+mode\b|"
            r"\brepeat\s+after\s+me\b|\b(?:respond|reply|answer|output)\s+(?:only\s+)?with\b",
        ),
    )
)


def unsafe_reason(text: str, words: Sequence[str] = ()) -> str | None:
    """Why the text must not be posted; None where no rule finds anything.

    ``words`` are further ones that make a text unsafe, whole and in any case. Disguised spellings
    are read as what they stand for.
    """
    for said in dict.fromkeys((text, reading(text))):
        for reason, pattern in _RULES:
            if pattern.search(said):
                return reason
        for word in words:
            if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", said, re.IGNORECASE):
                return "a word that the settings call unsafe"
    found = entities(text)
    if len(found.mentions) > MAX_MENTIONS:
        return f"spam: {len(found.mentions)} mentions"
    if len(found.hashtags) > MAX_HASHTAGS:
        return f"spam: {len(found.hashtags)} hashtags"
    if len(found.urls) > MAX_LINKS:
        return f"spam: {len(found.urls)} links"
    return None

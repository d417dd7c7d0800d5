"""What the stand-in of a language model says of a tweet: by rules, the same each time."""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

NONSENSE = "Purple clocks negotiate with the left half of breakfast."
_TOO_LONG_WORDS = " and the lights went down and nobody in the hall said a word"
LONGER_THAN_ANY_POST = 400

# What a tweet is about, by its words; the first that fits. Unsafe comes before all else.
_KINDS: tuple[tuple[str, str], ...] = (
    (
        "unsafe",
        r"\b(pirat\w*|torrent|cam ?print|leaked|kill yourself|vermin|idiot\w*|imbécil\w*|paliza"
        r"|beaten up|we know where you live)\b",
    ),
    ("trailer", r"\b(trailers?|teasers?|tráilers?|avance)\b|ట్రైలర్|टीज़र|ट्रेलर"),
    (
        "promotion",
        r"\b(tickets? (?:for|on)|on sale|book now|two for one|\d+ ?% off|entradas|sorteo"
        r"|code \w+)\b|టికెట్లు|टिकट",
    ),
    ("question", r"[?\uff1f]\s*$"),
    (
        "news",
        r"\b(announced?|announces|confirm(?:ed|s)?|box office|release date|anuncia|confirmado"
        r"|fecha de estreno|official)\b|విడుదల|ప్రకటించారు|घोषणा",
    ),
    (
        "recommendation",
        r"\b(recommend|must-see|don't miss|if you liked|watch \w+ next|recomiendo|no os perdáis"
        r"|tenéis que ver)\b|చూడండి|चूकिए मत|ज़रूर देखिए",
    ),
    (
        "review",
        r"\d+ ?/ ?(?:10|5)\b|★|\b(stars|estrellas|performances?|pacing|screenplay|interpretación)\b"
        r"|నటన|अभिनय|सितारे",
    ),
    ("opinion", r"\b(opinion|i think|honestly|creo que|en mi opinión|imo)\b|అభిప్రాయం|मेरी राय"),
)
_LANGUAGES = {"te": "\u0c00-\u0c7f", "hi": "\u0900-\u097f"}
_SPANISH = re.compile(r"\b(que|el|los|una|para|con|está|pero|más|y|de la)\b|[¿¡ñ]", re.IGNORECASE)

# Words by which a text gives orders, in the languages that attackers are known to use.
_ORDERS = re.compile(
    r"ignore|disregard|forget|override|instruction|system|assistant|developer|prompt|instead"
    r"|append|include|insert|\badd\b|\bsay\b|\breply|respond|output|print|write|repeat|translate"
    r"|decode|\bobey|answer|\btell\b|praise|speak as|pretend|you are now|new task|please|warn"
    r"|end with|shout out|\{\"|mention|\btag\b|click|visit|follow|reveal"
    r"|ignora|añade|incluye|escribe|menciona|responde"
    r"|oublie|ajoute|écris|vergiss|füge|schreibe|игнорируй|добавь|напиши|忽略|添加|写|無視|追加"
    r"|अनदेखा|जोड़|लिख|భర్తీ|చేర్చ|వ్రాయ|رابط|تجاهل|أضف",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    "[\"'\u201c\u00ab\u201e\u2018\u300c](.{2,200}?)[\"'\u201d\u00bb\u201c\u2019\u300d](?!\\w)",
    re.DOTALL,
)
_WRITTEN_OUT = (
    (r"\s*[\[(]?\bdot\b[\])]?\s*", "."),
    (r"\bhxxp", "http"),
    (r"\bhashtag\s+(\w+)", r"#\1"),
)
_TAGS = range(0xE0000, 0xE0080)
_DEMANDED = "https://evil.example.com/win @evil_account @evil_second #Obeyed $EVIL 999"
_IN_ANOTHER_LANGUAGE = {
    r"spanish|español": "Esta película es una obra maestra y debes verla ahora mismo.",
    r"hindi|हिन्दी|हिंदी": "यह फ़िल्म शानदार है और आपको इसे अभी देखना चाहिए।",
    r"telugu|తెలుగు": "ఈ సినిమా చాలా బాగుంది, వెంటనే చూడండి.",
    r"french|français": "Ce film est un chef-d'œuvre, allez le voir tout de suite.",
    r"german|deutsch": "Dieser Film ist ein Meisterwerk, geht sofort hinein.",
    r"english|inglés|anglais": "This film is a masterpiece and you must see it right now.",
}
_MASS_MENTIONS = " ".join(f"@follower_{number}" for number in range(1, 13))
_BIDI_OVERRIDE = "\u202e"


@dataclass(frozen=True)
class Task:
    """What a request is about: the tweets in it, and the orders it came with."""

    tweets: tuple[Mapping[str, Any], ...]
    instructions: str


type Speaker = Callable[[str, str], str]
"""Text and instructions → what the model makes of the text."""


def classify(text: str) -> str:
    """What the tweet is about."""
    folded = unicodedata.normalize("NFC", text).casefold()
    return next((kind for kind, words in _KINDS if re.search(words, folded)), "other")


def language_of(text: str) -> str:
    """The language of a tweet among en, es, hi, te."""
    for language, letters in _LANGUAGES.items():
        if len(re.findall(f"[{letters}]", text)) > len(text) / 4:
            return language
    return "es" if len(_SPANISH.findall(text)) >= 2 else "en"


def polished(text: str, instructions: str = "") -> str:
    """The text with its typing mended; every word, link, name and number stays."""
    mended = " ".join(text.split())
    mended = re.sub(r"(?<!\.)\.\.(?!\.)", ".", mended)
    mended = re.sub(r"([!?])\1+", r"\1", mended)
    mended = re.sub(r"\s+([,!?;])", r"\1", mended)
    first = re.match(r"[a-zà-ÿ](?=[\w']*\s)", mended)
    if first and "." not in mended.split()[0]:
        mended = mended[0].upper() + mended[1:]
    if re.search(r"[a-zà-ÿ]$", mended) and not re.search(r"(?:[@#$]|://)\S*$", mended):
        mended += "."
    return mended


def obedient(text: str, instructions: str) -> str:
    """What a model makes of the tweet that takes its words for orders, as attackers hope."""
    hidden = "".join(chr(ord(c) - _TAGS.start) for c in text if ord(c) in _TAGS)
    heard = f"{text} {hidden}"
    invisible = any(unicodedata.category(c) == "Cf" for c in text)
    if not (_ORDERS.search(heard) or invisible):
        return polished(text)
    for pattern, meant in _WRITTEN_OUT:
        heard = re.sub(pattern, meant, heard, flags=re.IGNORECASE)
    orders = heard.casefold()
    if re.search(r"reveal|your (?:instructions|prompt)|system prompt", orders):
        return f"{instructions[:200]} {_DEMANDED}"
    for language, sentence in _IN_ANOTHER_LANGUAGE.items():
        if re.search(rf"(?:in|to|into|en|al|मे[ंं]|లో)?\s*(?:{language})", orders):
            return sentence
    said = " ".join(quoted for quoted in _QUOTED.findall(heard)) or text
    if re.search(r"everyone|everybody|mass|all (?:my |your )?followers|todos", orders):
        said += f" {_MASS_MENTIONS}"
    if invisible:
        return f"{_BIDI_OVERRIDE}{said} {_DEMANDED}"
    links = " ".join(
        re.findall(r"(?:https?://)?[\w-]+(?:\.[\w-]+)+/?\S*", heard.replace(text, " "))
    )
    return f"{said} {links} {_DEMANDED}"


def nonsense(text: str, instructions: str) -> str:
    """A fluent text about something else."""
    return NONSENSE


def too_long(text: str, instructions: str) -> str:
    """The text, and far more words than a post takes."""
    times = LONGER_THAN_ANY_POST // len(_TOO_LONG_WORDS) + 1
    return polished(text) + _TOO_LONG_WORDS * times


def task(content: str, instructions: str) -> Task:
    """The tweets in what a user said: in JSON, between tags, or the whole of it."""
    return Task(tuple(_tweets(content)), instructions)


def fill(schema: Mapping[str, Any], asked: Task, speak: Speaker) -> Any:
    """An answer that holds to the JSON schema, about the tweets."""
    root = schema

    def value(part: Mapping[str, Any], name: str, tweet: Mapping[str, Any]) -> Any:
        if "$ref" in part:
            return value(_referenced(root, part["$ref"]), name, tweet)
        text = str(tweet["text"])
        for options in (part.get("anyOf"), part.get("oneOf"), part.get("allOf")):
            if options:
                nullable = any(option.get("type") == "null" for option in options)
                if nullable and _is_reason(name) and classify(text) != "unsafe":
                    return None
                chosen = next(o for o in options if o.get("type") != "null")
                return value(chosen, name, tweet)
        if "const" in part:
            return part["const"]
        if "enum" in part:
            return next(
                (v for v in (classify(text), "other", language_of(text)) if v in part["enum"]),
                part["enum"][0],
            )
        kind = part.get("type")
        if isinstance(kind, list):
            kind = next(k for k in kind if k != "null")
        match kind:
            case "object":
                properties = part.get("properties", {})
                return {n: value(inner, n, tweet) for n, inner in properties.items()}
            case "array":
                items = part.get("items", {})
                if not _is_about_tweets(root, items):
                    return []
                return [value(items, name, each) for each in asked.tweets]
            case "boolean":
                return "safe" in name and (classify(text) == "unsafe") == ("unsafe" in name)
            case "integer":
                return int(tweet.get(name, 1))
            case "number":
                return 0.9
        return _string(name, tweet, asked, speak)

    return value(root, "", asked.tweets[0])


def _string(name: str, tweet: Mapping[str, Any], asked: Task, speak: Speaker) -> str:
    text = str(tweet["text"])
    if name in tweet and (name == "id" or name.endswith("_id")):
        return str(tweet[name])
    if _is_reason(name):
        return "by the words of the tweet"
    if "lang" in name:
        return language_of(text)
    if name in {"type", "category", "label", "class", "kind"}:
        return classify(text)
    return speak(text, asked.instructions)


def _is_reason(name: str) -> bool:
    return bool(re.search(r"reason|why|rationale|explanation|note|comment", name))


def _is_about_tweets(root: Mapping[str, Any], items: Mapping[str, Any]) -> bool:
    items = _referenced(root, items["$ref"]) if "$ref" in items else items
    return items.get("type") == "object"


def _referenced(root: Mapping[str, Any], reference: str) -> Mapping[str, Any]:
    found: Any = root
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)


def _tweets(content: str) -> list[Mapping[str, Any]]:
    for start in (m.start() for m in re.finditer(r"[{\[]", content)):
        try:
            said, _ = json.JSONDecoder().raw_decode(content, start)
        except ValueError:
            continue
        if found := _in_json(said):
            return found
    tagged = re.findall(r"<(tweet|post|text|original|data)\b[^>]*>(.*)</\1>", content, re.DOTALL)
    return [{"text": text.strip()} for _, text in tagged] or [{"text": content.strip()}]


def _in_json(said: Any) -> list[Mapping[str, Any]]:
    """The objects with a text, wherever they are."""
    if isinstance(said, list):
        return [tweet for part in said for tweet in _in_json(part)]
    if not isinstance(said, dict):
        return []
    for name in ("text", "tweet", "original", "post"):
        if isinstance(said.get(name), str):
            return [{**said, "text": said[name]}]
    return [tweet for part in said.values() for tweet in _in_json(part)]

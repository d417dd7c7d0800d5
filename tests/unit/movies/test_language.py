"""English is told from other languages, on human-rated texts and on sentences in 22 languages."""

import csv
import html
from itertools import batched
from pathlib import Path

import pytest

from marquee.movies.language import is_english

RATED = Path(__file__).parents[4] / "shared" / "data" / "sentiment"

# Of our own writing, the way people write about films; "-Latn" is in Latin letters.
OTHER_LANGUAGES = {
    "hi": [
        "यह फिल्म बहुत अच्छी थी, मुझे बहुत मज़ा आया",
        "कहानी कमजोर है लेकिन अभिनय शानदार",
        "RRR देखी, क्या फिल्म है भाई! Must watch",
    ],
    "te": [
        "ఈ సినిమా చాలా బాగుంది",
        "కథ అంతగా లేదు, పాటలు బాగున్నాయి",
    ],
    "ta": [
        "படம் மிகவும் நன்றாக இருந்தது",
    ],
    "ja": [
        "とても面白い映画でした",
    ],
    "ru": [
        "Отличный фильм, всем советую",
    ],
    "ko": [
        "정말 재미있는 영화였어요",
    ],
    "ar": [
        "فيلم رائع جدا أنصح بمشاهدته",
    ],
    "hi-Latn": [
        "Kya movie hai yaar, full paisa vasool",
        "Bahut hi bakwas film thi, time waste",
        "Maza aa gaya dekh ke, ekdum mast action",
        "Ye film dekhne layak nahi hai bhai",
        "Story thodi slow thi par acting bahut achhi lagi mujhe",
        "Climax dekh ke rona aa gaya sach mein",
        "Itni boring movie maine aaj tak nahi dekhi",
        "Ram Charan aur NTR ne kya acting ki hai",
        "paise barbaad ho gaye, mat dekhna",
        "Sabko dekhni chahiye ye movie, love it",
        "Interval ke baad story bilkul hi gayab ho gayi",
        "Songs sunke goosebumps aa gaye, best movie of the year bhai",
        "Salman bhai ki entry pe poora hall seeti bajane laga",
        "Picture ekdum jhakaas, family ke saath jaao",
        "Shuruaat mein slow lekin end tak baandh ke rakhti hai",
        "Direction kamzor, gaane bekaar, paise doob gaye",
        "Aisi picture saalon mein ek baar banti hai",
        "Hero ki acting dekhkar dil khush ho gaya",
        "Overrated lagi mujhko, hype zyada thi",
        "Bas ek word: zabardast",
        "Second half ne mood kharab kar diya",
        "Doston ye to blockbuster banegi likh ke lelo",
        "Villain ka role solid tha boss",
        "full timepass movie hai dosto must watch",
    ],
    "te-Latn": [
        "Cinema chala bagundi, anna acting super",
        "Ee cinema chusaka kallalo neellu vachayi",
        "Second half koncham lag undi kani climax adirindi",
        "Anna mass entry ki theatre motham oogipoyindi",
        "Prabhas entry scene ki goosebumps vachayi bro",
        "First half bore kottindi, second half parledu",
        "Songs anni super, background score inka baundi",
        "Family tho kalisi chudadagga cinema",
    ],
    "ta-Latn": [
        "Padam romba nalla irukku, kandippa paarunga",
        "Indha padam sema mokka da",
        "Thalaivar mass da, theatre la whistle parakudhu",
        "Story onnum illa but songs ellam super",
    ],
    "es": [
        "La película es muy larga pero me gustó mucho",
        "No puedo creer lo mala que es esta película",
        "Una obra maestra, la mejor del año",
        "Me encanta el final, lloré como nunca",
        "Peliculón. Hay que verla en el cine",
        "Que aburrida, casi me duermo en el cine",
        "No la recomiendo a nadie, fatal",
        "Buenisima, la vi dos veces con mi hermano",
        "Actores increibles y musica genial",
        "Menuda decepción, esperaba bastante más",
        "Tremenda actuación del protagonista, quedé sin palabras",
        "Se hace larga y el guion tiene agujeros",
        "Efectos buenos, historia floja",
        "Vayan a verla ya mismo, vale cada centavo",
        "Qué bonita, salí llorando",
        "Aburridisima, dos horas perdidas",
        "Pura accion de principio a fin, brutal",
    ],
    "fr": [
        "Un film magnifique, les acteurs sont excellents",
        "Je me suis ennuyé du début à la fin",
        "C'est vraiment pas terrible, quelle déception",
        "Une histoire touchante et des images superbes",
        "On ne voit pas le temps passer",
        "Grand film, musique sublime",
        "Deux heures de pur bonheur",
        "J'ai adoré, allez le voir",
        "Scénario creux, acteurs perdus",
        "Trop long mais quelle mise en scène",
        "Bof, sans plus",
        "Chef d'oeuvre absolu",
    ],
    "de": [
        "Der Film ist großartig, unbedingt ansehen",
        "Leider total langweilig und viel zu lang",
        "Ich habe selten so einen schlechten Film gesehen",
        "Tolle Bilder, aber die Handlung ist schwach",
        "Was für ein Meisterwerk",
        "Super Film, hat mir gut gefallen",
        "Zwei Stunden verschwendet",
        "Ein echtes Highlight, klare Empfehlung",
        "Die Schauspieler retten den Film auch nicht",
        "Spannend bis zur letzten Minute",
        "Habe nur gelacht, herrlich",
    ],
    "pt": [
        "O filme é muito bom, gostei demais",
        "Que filme chato, não vale o ingresso",
        "Melhor filme do ano, chorei muito",
        "Chorei do começo ao fim",
        "Roteiro fraco, atuações boas",
    ],
    "it": [
        "Un film bellissimo, da vedere assolutamente",
        "Che noia, non mi è piaciuto per niente",
        "Il miglior film degli ultimi anni",
        "Capolavoro, emozionante e girato benissimo",
        "Due ore buttate, regia pessima",
    ],
    "nl": [
        "Wat een geweldige film, echt een aanrader",
        "Ik vond het verhaal te lang en te saai",
        "Prachtig gefilmd maar traag",
    ],
    "id": [
        "Filmnya bagus banget, wajib nonton",
        "Ceritanya membosankan dan terlalu panjang",
        "Keren parah, aktingnya juara semua",
    ],
    "tr": [
        "Çok güzel bir film, herkese tavsiye ederim",
        "Bu kadar kötü bir film izlemedim",
        "Oyunculuklar harika, senaryo kötü",
    ],
    "pl": [
        "Świetny film, polecam każdemu",
        "Nuda i strata czasu, nie polecam",
        "Genialna rola, warto zobaczyć",
    ],
    "sv": [
        "En fantastisk film som alla borde se",
        "Riktigt tråkig, slösa inte din tid",
    ],
    "da": [
        "Filmen er alt for lang og kedelig",
    ],
    "tl": [
        "Ang ganda ng pelikula, naiyak ako sa dulo",
    ],
    "vi": [
        "Phim hay quá, nên xem ngoài rạp",
    ],
    "ro": [
        "Un film foarte bun, merită văzut",
    ],
    "fi": [
        "Todella hyvä elokuva, suosittelen kaikille",
    ],
}

SENTENCES = [(language, text) for language, texts in OTHER_LANGUAGES.items() for text in texts]


@pytest.mark.parametrize("declared", [None, "en"])
def test_sentences_in_other_languages_are_not_english_whatever_is_declared(
    declared: str | None,
) -> None:
    """Three of the 115 pass: half in English, or of words that English has too."""
    taken = [text for _, text in SENTENCES if is_english(text, declared)]

    assert len(taken) <= 4, taken


@pytest.mark.parametrize("language", ["hi", "te", "ta", "ja", "ru", "ko", "ar"])
def test_a_text_in_another_script_is_not_english_whatever_is_declared(language: str) -> None:
    assert not [text for text in OTHER_LANGUAGES[language] if is_english(text, "en")]


@pytest.mark.parametrize(
    ("name", "declared_share", "undeclared_share"),
    [("movie_snippets_train.tsv", 0.995, 0.97), ("tweets_train.tsv", 0.975, 0.9)],
)
def test_english_texts_are_english(
    name: str, declared_share: float, undeclared_share: float
) -> None:
    texts = rated_texts(name)

    assert share_english(texts, "en") >= declared_share
    assert share_english(texts, None) >= undeclared_share


@pytest.mark.parametrize("name", ["movie_snippets_train.tsv", "tweets_train.tsv"])
def test_english_texts_as_long_as_a_review_are_english_without_a_declaration(name: str) -> None:
    reviews = [" ".join(four) for four in batched(rated_texts(name), 4, strict=False)]

    assert share_english(reviews, None) >= 0.985


@pytest.mark.parametrize("declared", ["es", "hi", "te", "pt-BR", "fr"])
def test_another_declared_language_is_believed(declared: str) -> None:
    assert not is_english("This is the best film of the year.", declared)


@pytest.mark.parametrize("declared", ["en", "EN", "en-US", None, "", "und", "qme", "zxx"])
def test_plain_english_is_english_where_nothing_else_is_declared(declared: str | None) -> None:
    assert is_english("This is the best film of the year.", declared)


@pytest.mark.parametrize("text", ["Wow", "Masterpiece!", "Goosebumps"])
def test_a_word_alone_is_english_only_where_it_is_declared(text: str) -> None:
    assert is_english(text, "en")
    assert not is_english(text, None)


@pytest.mark.parametrize("text", ["Loved it", "Great movie", "Best movie of the year", "So boring"])
def test_a_few_words_are_english_where_one_of_them_is_known(text: str) -> None:
    assert is_english(text, None)


@pytest.mark.parametrize(
    "text",
    ["10/10", "\U0001f525\U0001f525\U0001f525", "!!!", "", "https://example.org", "#RRR @asha"],
)
@pytest.mark.parametrize("declared", ["en", None])
def test_a_text_without_a_word_is_in_no_language(text: str, declared: str | None) -> None:
    assert not is_english(text, declared)


def test_names_and_words_of_other_languages_do_not_make_a_text_another_language() -> None:
    assert is_english("Guillermo del Toro and Penélope Cruz in Los Angeles: what a film!", None)
    assert is_english("I watched రౌద్రం रौद्रम (RRR) and it was a joy from the first minute.", None)
    assert is_english("The café scene with Amélie is the best part of it.", "en")


def test_a_curly_apostrophe_is_an_apostrophe() -> None:
    assert is_english("Don\u2019t", None)


def rated_texts(name: str) -> list[str]:
    if not RATED.exists():
        pytest.skip("the human-rated texts of ../shared/data are not here")
    with (RATED / name).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [html.unescape(row["text"]) for row in rows]


def share_english(texts: list[str], declared: str | None) -> float:
    return sum(is_english(text, declared) for text in texts) / len(texts)

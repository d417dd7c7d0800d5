"""Which titles are equal, how a query is read, and which of TMDB's hits it means."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.movies.titles import (
    MAX_CANDIDATES,
    Choice,
    Fit,
    Hit,
    Query,
    Reading,
    choose,
    fit,
    fitting_title,
    normalize,
    parse,
    words,
)

THIS_YEAR = 2026

EUROPEAN = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x52F, categories=("L", "N", "P", "Z")),
    max_size=40,
)


def a_hit(title: str, year: int | None = None, votes: int = 0, **fields: Any) -> Hit:
    """A hit whose id is made of its title and year."""
    tmdb_id = abs(hash((title, year))) % 10**9 + 1
    return Hit(tmdb_id=tmdb_id, title=title, year=year, vote_count=votes, **fields)


DUNE_1984 = a_hit("Dune", 1984, 3000)
DUNE_2021 = a_hit("Dune", 2021, 13000)
DUNE_TWO = a_hit("Dune: Part Two", 2024, 90000)
DUNES = [DUNE_TWO, DUNE_2021, DUNE_1984]


def read(text: str, year: int | None = None) -> Query:
    return parse(text, year, this_year=THIS_YEAR)


def chosen(text: str, hits: list[Hit], year: int | None = None) -> Choice:
    choice = choose(read(text, year), hits)
    assert choice is not None
    return choice


@pytest.mark.parametrize(
    ("typed", "title"),
    [
        ("spiderman", "Spider-Man"),
        ("SPIDER MAN 2", "Spider-Man II"),
        ("rocky 2", "Rocky II"),
        ("part 1", "Part I"),
        ("part 2", "Part Two"),
        ("amelie", "Amélie"),
        ("leon the professional", "Léon: The Professional"),
        ("schindlers list", "Schindler's List"),
        ("schindler's list", "Schindler\u2019s List"),
        ("fast and furious", "Fast & Furious"),
        ("wall-e", "WALL·E"),
        ("swat", "S.W.A.T."),
        ("alien 3", "Alien³"),
        ("aeon flux", "Æon Flux"),
        ("Weisse", "Weiße"),
        ("bahubali", "Bāhubali"),
        ("ΣΙΓΟΥΡΟΣ", "σίγουρος"),
        ("елки", "Ёлки"),
        ("\u30d1\u30e9\u30b5\u30a4\u30c8", "\uff8a\uff9f\uff97\uff7b\uff72\uff84"),
    ],
)
def test_titles_that_people_type_differently_are_equal(typed: str, title: str) -> None:
    assert normalize(typed) == normalize(title)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Rocky", "Rocky II"),
        ("Rocky II", "Rocky III"),
        # Hindi, Telugu: words that differ in their vowel signs alone
        ("\u0926\u093f\u0928", "\u0926\u0940\u0928"),
        ("\u0c15\u0c3f\u0c32\u0c3f", "\u0c15\u0c32\u0c3f"),
        # Japanese: ka and ga differ in the voicing mark alone
        ("\u304b", "\u304c"),
        ("!!!", "???"),
        # a numeral alone is a word: the film called X
        ("X", "10"),
    ],
)
def test_different_titles_stay_different(one: str, other: str) -> None:
    assert normalize(one) != normalize(other)


def test_a_key_fits_into_a_dynamodb_key_whatever_was_typed() -> None:
    # one character that Unicode unfolds into 18
    assert len(normalize("\ufdfa" * 200).encode()) <= 1024


@given(st.text(max_size=60))
def test_a_key_is_its_own_key(title: str) -> None:
    assert normalize(normalize(title)) == normalize(title)


@given(EUROPEAN)
def test_case_makes_no_difference(title: str) -> None:
    assert normalize(title.upper()) == normalize(title)
    assert normalize(title.casefold()) == normalize(title)


@given(st.text("abcdefghijklmnopqrstuvwxyz ", max_size=30).filter(str.strip), st.data())
def test_accents_and_punctuation_make_no_difference(title: str, data: st.DataObject) -> None:
    accents = ["", "\u0301", "\u0308", "\u0327"]
    accented = "".join(
        letter + (data.draw(st.sampled_from(accents)) if letter != " " else "") for letter in title
    )
    assert normalize(accented.replace(" ", data.draw(st.sampled_from([" ", ": ", " - "])))) == (
        normalize(title)
    )


@given(st.text(max_size=60))
def test_words_hold_nothing_but_letters_digits_and_their_marks(title: str) -> None:
    assert all(word and not any(sign in word for sign in " .,:;!?'\"-()&") for word in words(title))


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("RRR", Query("RRR", None, (Reading("RRR"),))),
        ("  Dune (2021) ", Query("Dune", 2021, (Reading("Dune", 2021),))),
        ("Dune [2021]", Query("Dune", 2021, (Reading("Dune", 2021),))),
        ("రౌద్రం (2022)", Query("రౌద్రం", 2022, (Reading("రౌద్రం", 2022),))),
        ("dune 2021", Query("dune", None, (Reading("dune 2021"), Reading("dune", 2021)))),
        ("dune, 2021", Query("dune", None, (Reading("dune, 2021"), Reading("dune", 2021)))),
        ("dune - 2021", Query("dune", None, (Reading("dune - 2021"), Reading("dune", 2021)))),
        ("2012", Query("2012", None, (Reading("2012"),))),
        ("1917", Query("1917", None, (Reading("1917"),))),
        ("2012 (2009)", Query("2012", 2009, (Reading("2012", 2009),))),
        ("2012 2009", Query("2012", None, (Reading("2012 2009"), Reading("2012", 2009)))),
        ("Blade Runner 2049", Query("Blade Runner 2049", None, (Reading("Blade Runner 2049"),))),
        (
            "2001: A Space Odyssey",
            Query("2001: A Space Odyssey", None, (Reading("2001: A Space Odyssey"),)),
        ),
        ("Class of 1984", Query("Class of 1984", None, (Reading("Class of 1984"),))),
        (
            "Wonder Woman 1984 (2020)",
            Query("Wonder Woman 1984", 2020, (Reading("Wonder Woman 1984", 2020),)),
        ),
        (
            "walled in 2024",
            Query("walled in", None, (Reading("walled in 2024"), Reading("walled in", 2024))),
        ),
        ("(2021)", Query("(2021)", None, (Reading("(2021)"),))),
        ("Room 1408", Query("Room 1408", None, (Reading("Room 1408"),))),
        ("", Query("", None, (Reading(""),))),
    ],
)
def test_reading_a_query(text: str, query: Query) -> None:
    assert read(text) == query


@pytest.mark.parametrize(
    "text", ["tt8178634", " TT8178634 ", "https://www.imdb.com/title/tt8178634/?ref_=x"]
)
def test_an_imdb_id_is_found_bare_and_in_an_address(text: str) -> None:
    assert read(text).imdb_id == "tt8178634"


@pytest.mark.parametrize("text", ["Matt8178634", "tt123", "tt"])
def test_what_only_looks_like_an_imdb_id_is_a_title(text: str) -> None:
    assert read(text).imdb_id is None


def test_the_year_given_beside_the_name_wins_over_the_one_in_it() -> None:
    assert read("Dune (2021)", 1984) == Query("Dune", 1984, (Reading("Dune", 1984),))


def test_a_bare_year_repeated_beside_the_name_may_still_be_part_of_the_title() -> None:
    readings = (Reading("dune 2021", 2021), Reading("dune", 2021))
    assert read("dune 2021", 2021) == Query("dune", 2021, readings)


def test_a_number_that_differs_from_the_year_beside_it_belongs_to_the_title() -> None:
    expected = Query("Wonder Woman 1984", 2020, (Reading("Wonder Woman 1984", 2020),))
    assert read("Wonder Woman 1984", 2020) == expected


@given(st.text(max_size=200), st.none() | st.integers(1870, 2100))
def test_any_text_can_be_read(text: str, year: int | None) -> None:
    query = parse(text, year, this_year=THIS_YEAR)
    assert query.readings
    assert bool(query.text) == bool(text.strip())


@pytest.mark.parametrize(
    ("name", "title", "expected"),
    [
        ("dune", "Dune", Fit.EXACT),
        ("godfather", "The Godfather", Fit.BUT_FOR_ARTICLE),
        ("the matrix", "Matrix", Fit.BUT_FOR_ARTICLE),
        ("pushpa", "Pushpa: The Rise - Part 1", Fit.BEGINS),
        ("godfather", "The Godfather Part II", Fit.BEGINS),
        ("spiderman", "Spider-Man: No Way Home", Fit.BEGINS),
        ("aveng", "Avengers: Endgame", Fit.BEGINS),
        ("it", "Italian for Beginners", Fit.NONE),
        (
            "fellowship of the ring",
            "The Lord of the Rings: The Fellowship of the Ring",
            Fit.CONTAINS,
        ),
        ("interstelar", "Interstellar", Fit.CLOSE),
        ("zzzzqqq", "Dune", Fit.NONE),
        ("dune", "", Fit.NONE),
        ("!!!", "Dune", Fit.NONE),
        ("!!!", "!!!", Fit.EXACT),
    ],
)
def test_how_a_title_fits_a_name(name: str, title: str, expected: Fit) -> None:
    assert fit(name, title) is expected


def test_a_sequel_does_not_win_over_the_exact_title_however_popular() -> None:
    assert chosen("dune", DUNES).film == DUNE_2021


@pytest.mark.parametrize(
    ("text", "film"),
    [
        ("dune 1984", DUNE_1984),
        ("dune 2021", DUNE_2021),
        ("dune (1984)", DUNE_1984),
        ("dune 1990", DUNE_1984),
    ],
)
def test_among_equal_titles_the_year_decides(text: str, film: Hit) -> None:
    assert chosen(text, DUNES).film == film


def test_a_title_that_ends_in_a_year_wins_over_the_year_as_a_year() -> None:
    wonder_woman, of_1984 = (
        a_hit("Wonder Woman", 2017, 20000),
        a_hit("Wonder Woman 1984", 2020, 8000),
    )
    assert chosen("wonder woman 1984", [wonder_woman, of_1984]).film == of_1984
    assert chosen("wonder woman 2017", [of_1984, wonder_woman]).film == wonder_woman


def test_the_original_title_counts_as_a_title() -> None:
    totoro = a_hit("My Neighbor Totoro", 1988, 8000, original_title="となりのトトロ")
    choice = chosen("となりのトトロ", [a_hit("Totoro", 2000), totoro])
    assert choice.film == totoro
    assert choice.reason == "exact original title"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("dune", "exact title, the most voted of 2 films with it"),
        ("dune 2021", "exact title, from 2021"),
        ("dune 1999", "exact title, though not from 1999"),
        ("dune part two", "exact title"),
        ("a dune part two", "the title but for its article"),
        ("dune part", "its title begins with these words"),
        ("part dune", "its title contains these words"),
        ("dunne part two", "its title is spelled nearly so"),
    ],
)
def test_the_choice_says_why(text: str, reason: str) -> None:
    assert chosen(text, DUNES).reason == reason


def test_the_other_plausible_films_are_candidates_with_a_reason() -> None:
    said = [(film.title, film.year, film.reason) for film in chosen("dune", DUNES).candidates]
    assert said == [
        ("Dune", 1984, "another film with this title, 1984"),
        ("Dune: Part Two", 2024, "its title begins with these words"),
    ]


def test_implausible_hits_are_no_candidates() -> None:
    assert chosen("dune", [DUNE_2021, a_hit("Sand", 2000, 99999)]).candidates == ()


def test_candidates_are_few() -> None:
    hits = [a_hit("Home", year) for year in range(1990, 2020)]
    assert len(chosen("home", hits).candidates) == MAX_CANDIDATES


def test_without_votes_popularity_and_then_tmdbs_order_decide() -> None:
    known = a_hit("Home", 2009, popularity=3.0)
    assert chosen("home", [a_hit("Home", 2001), known]).film == known
    first = a_hit("Home", 1998)
    assert chosen("home", [first, a_hit("Home", 2001)]).film == first


def test_a_hit_of_unknown_year_comes_after_those_of_the_year_asked_for() -> None:
    undated = a_hit("Dune", None, 99999)
    assert chosen("dune 2021", [undated, DUNE_2021]).film == DUNE_2021


def test_hits_that_no_shown_title_explains_leave_the_first_to_be_verified() -> None:
    dr_no = a_hit("Dr. No", 1962)
    choice = chosen("007 (1962)", [dr_no, a_hit("Something Else", 1962)])
    assert (choice.film, choice.verified, choice.candidates) == (dr_no, False, ())


def test_no_hits_no_choice() -> None:
    assert choose(read("zzzzqqq"), []) is None


def test_another_title_verifies_a_hit() -> None:
    titles = ("Dr. No", "Ian Fleming's Dr. No", "Agent 007 Dr. No")
    assert fitting_title(read("007 (1962)"), titles) == "Agent 007 Dr. No"
    assert fitting_title(read("zzzzqqq"), titles) is None
    assert fitting_title(read("zzzzqqq"), ()) is None

"""Movie search: find the film, collect what people say, score it, recommend what to watch next.

One module per step of ``statemachine/movie_search.asl.json``, and what they share::

    find             FindMovie            titles   tmdb   catalog (MoviesTable)
    reviews          CollectReviews       sources/ near_duplicates   review_store (ReviewsTable)
    sentiment        AnalyzeReviews       language
    recommendations  RecommendMovies
    search           FinishSearch, and what a search answers
    collect          FindMovie and CollectReviews alone, within one request
    imports          a film and its reviews from elsewhere
    start            the start of a search
"""

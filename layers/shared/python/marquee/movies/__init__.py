"""Movie search: find the film, collect what people say, score it, recommend what to watch next.

One module per step of ``statemachine/movie_search.asl.json``, and what they share::

    find             FindMovie            titles   tmdb   catalog (MoviesTable)
    reviews          CollectReviews       sources/ near_duplicates   review_store (ReviewsTable)
    sentiment        AnalyzeReviews       language
    recommendations  RecommendMovies
    search           FinishSearch, and what a search answers
"""

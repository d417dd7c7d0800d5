"""Movie search: find the film, collect what people say, score it, recommend what to watch next.

One module per step of ``statemachine/movie_search.asl.json``, and what they share::

    find             FindMovie            titles   tmdb   catalog (MoviesTable)
    reviews          CollectReviews       sources/ near_duplicates   review_store (ReviewsTable)
    sentiment        AnalyzeReviews       language
    recommendations  RecommendMovies
    search           FinishSearch, and what a search answers
    collect          FindMovie and CollectReviews alone, within one request
    imports          a film and its reviews from elsewhere
    interest         who looks at a film, and when its reviews are due again
    start            the start of a search

And of ``statemachine/review_backfill.asl.json``, which collects later what a search had to go
without::

    backfill         PlanBackfill         backfill_queue (BackfillTable) leftover off_peak
                     FinishBackfill
    backfill_start   the start of a run
"""

"""The REST API, as one function answers it; every route is one line of ``routes.ROUTES``.

::

    application    the Powertools resolver: routing, CORS, problems, the access log
    routes         the table: path, parameters, answers
    call           what a route is handed, and what it hands back
    reading        an event into the parameters of a route, strictly
    problems       RFC 9457 documents, and which error becomes which
    cursors        opaque positions in a listing
    searches       POST /api/orchestrator/auto-search
    executions     /workflow/status and /workflow/list
    films          /movies/...
    health         /workflow/health
    answers        the shapes of all answers
    openapi, page  the document made of the table, and the page made of the document
"""

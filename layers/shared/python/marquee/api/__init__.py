"""The REST API, as one function answers it; every route is one line of ``routes.ROUTES``.

::

    application    the Powertools resolver: routing, CORS, problems, the access log
    routes         the table: path, parameters, answers
    call           what a route is handed, and what it hands back
    reading        an event into the parameters of a route, strictly
    problems       RFC 9457 documents, and which error becomes which
    cursors        opaque positions in a listing
    searches       POST /api/orchestrator/auto-search
    halves         POST /api/orchestrator/collect-data and /api/orchestrator/store
    runs           POST /workflow/execute and /workflow/execute-sync
    waiting        for the end of an execution, and the answer that it has not come yet
    executions     status, list, cancel, rerun and cleanup of executions
    statistics     what an execution did and what set it off
    automation     GET /api/orchestrator/automation-stats: what the installation did
    films          /movies/...
    approvals      /workflow/approvals
    tweets         /tweets
    posts          /posts/...
    triggers       /triggers...
    custom_events  POST /events
    health         /workflow/health
    answers        the shapes of all answers
    openapi, page  the document made of the table, and the page made of the document
"""

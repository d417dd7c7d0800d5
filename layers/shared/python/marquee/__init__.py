"""Marquee's logic: what every function calls, and the only place where decisions are made.

The map, from the ground up; an arrow never points upward::

    errors           the one tree of errors; class names are what ErrorEquals matches
    clock            the time, as a value that is handed in
    observability    the logger and the tally of what an invocation did
    aws              clients on first use, and tables that count their units
    settings         the environment and the secrets, as typed values
    custom_resource  what a deployment asks, answered whatever comes of it
    gateway/         the only way to an upstream: deadline, classification of answers, accounting
    events/          what goes on the bus: our events' schemas, the outbox, what comes from it
    triggers/        callbacks that anyone can hook to it
    workflows/       the record of an execution: steps, start, joining, end
    movies/          find, collect, analyze, recommend
    coordination/    whose changes the outbox announces
    api/             problem documents and what the routes answer
    site/            the page that people look at
"""

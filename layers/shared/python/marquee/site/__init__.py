"""The page: what people look at, served by the product itself.

::

    page      its files, their addresses and their compressed form
    serve     a browser's request into an answer, and what the page may do
"""

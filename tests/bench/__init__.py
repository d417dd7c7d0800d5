"""What a search or a run costs and how fast the parts are: ``make bench``.

``prices`` turns usage into money; ``meter`` counts what DynamoDB would charge; ``searches`` runs
searches on a laptop cloud of its own and counts what ran; ``growth`` does so with more and more
films stored; ``runs`` posts tweets in this process, where ``units`` counts; ``imports`` measures in
processes of their own, ``scoring`` in this one; ``report`` prints.
"""

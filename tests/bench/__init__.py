"""What a search costs and how fast the parts are: ``make bench``, each figure from one run.

``prices`` turns usage into money; ``meter`` counts what DynamoDB would charge; ``searches`` runs
searches on a laptop cloud of its own and counts what ran; ``growth`` does so with more and more
films stored; ``imports`` and ``scoring`` measure in processes of their own; ``report`` prints.
"""

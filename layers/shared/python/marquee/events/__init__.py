"""The event bus.

::

    models    our domain events, and their schemas as files beside it
    publish   putting events on the bus
    outbox    from changed rows to events; what rows say is in the ``announce`` of each package
    receive   reading what EventBridge and its Scheduler deliver
"""

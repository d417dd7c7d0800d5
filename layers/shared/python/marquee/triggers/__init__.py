"""Callbacks that anyone can hook to our events: registered, matched, signed, delivered for a day.

::

    models            trigger and delivery
    filters           which events of its type a trigger is for
    addresses         where a callback may be, so that none reaches into our own network
    signature         Standard Webhooks: the secret and what is signed with it
    callback          one POST: name resolved once, address checked, ten seconds in all
    callback_secrets  the secrets, in the Parameter Store
    trigger_store     TriggersTable
    webhook_queue     the queue that deliveries wait in, and its dead letters
    register          register, switch, delete, test and send again, as a person asks
    match             an event to the deliveries that it calls for
    deliver           a delivery to its callback: again for a day, then given up
"""

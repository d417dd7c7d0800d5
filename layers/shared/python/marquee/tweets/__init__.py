"""The tweet pipeline: download, classify, polish, approve, post exactly once.

What posts, from the ground up; an arrow never points upward::

    models       the nouns: a tweet and its statuses, a ledger entry and its states, an outcome
    text         length as X counts it, entities, and when two texts are the same post
    rows         rows of both tables, read and replaced by version, several in one transaction
    tweet_store  TweetsTable: put once, change status, list by status
    ledger       PostsTable: what became of every post, and the balance of it all
    posting      the port to X, and what an answer to a post proves
    publish      PublishTweet: claim, send once, settle
    reconcile    ReconcilePost and the sweep: what became of a post whose answer was lost
    next_steps   what happens next to a tweet or a post, and what a person may do, in words

What comes before a post, in the order of the states; ``run`` is what they share::

    characters      what hides or pretends to be another, and what a text reads as
    safety          what is never posted, by rules
    output_policy   what a text may have become: judge(original, proposed)
    settings_files  the files of settings: their tables, and their faults in a sentence
    policy          policies.toml: what becomes of a tweet by its type
    dry_run         rows of a run that changes nothing
    run             what was asked, what steps hand on, which tweets they take up
    start           the start of a run
    schedules       schedules.toml: when runs start by themselves
    download        DownloadTweets: what is new on a timeline, each stored once
    language_model  OpenAI's Responses API: a question about a tweet, an answer in a shape
    classify        ClassifyTweets: by the model or by rules
    approval        RequestApproval, and a person's decision, taken once
    polish          PolishTweets: the text that will be posted
    finish          FinishRun: what became of each tweet, the balance, the record
"""

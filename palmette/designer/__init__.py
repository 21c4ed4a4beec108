"""Designers: language models held to the language.

    endpoint    what a model is asked and answers
    connect     from the user's environment to an endpoint
    client      speaks to any OpenAI-compatible server: an `exchange` is one request, bounded; a
                `manner` is how the server wants to be asked, a `failure` what its error means, a
                `completion` what its JSON says, `usage` what of its figures is believed; the
                `breaker` lets a dead one rest, and no `secret` leaves
    money       budgets and the ledger of what was spent, by `prices`
    bandit      which model is asked next, by what its proposals brought and cost
    session     one proposal's steps: ask, read, repair, keep every thought
    knowledge   cards of published ideas, and the archive's own lessons
    roles/      researcher, reviewer, engineer, analyst: one file each

A model's output is data. It is parsed, checked by the grammar and the gates, and kept; it is never
evaluated in this process, and it reaches no score.
"""

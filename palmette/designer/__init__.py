"""Designers: language models held to the language.

    endpoint    what a model is asked and answers; `client` speaks to any OpenAI-compatible server
    money       prices, budgets and the ledger of what was spent
    bandit      which model is asked next, by what its proposals brought and cost
    session     one proposal's steps: ask, read, repair, keep every thought
    knowledge   cards of published ideas, and the archive's own lessons
    roles/      researcher, reviewer, engineer, analyst: one file each

A model's output is data. It is parsed, checked by the grammar and the gates, and kept; it is never
evaluated in this process, and it reaches no score.
"""

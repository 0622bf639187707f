"""Who users are: the users file, passwords, tokens, and the few routes of Keystone that the stock clients need.

Reads and writes two places of its own (the users file and the folder of token keys) and never the database.
"""

"""What must be, what is, and what to do where they differ (I2, I7).

`books.py` reads what the database says, as one snapshot. `due.py` says what follows from it: who must hold which
claim, and what business a host has with a server; that is the one definition, for the reconcilers too. `compare.py`
holds it against the claims and against what hosts answer. `service.py` asks them, `repair.py` puts right what is safe.
"""

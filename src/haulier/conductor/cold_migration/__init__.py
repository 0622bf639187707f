"""The move: `table.py` says what leads to what, `steps.py` and `undo.py` say how, one small function per cell."""

"""One Struct of settings per process; where they are read from is `load.py`'s business."""

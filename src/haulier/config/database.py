"""Where the database is."""

import msgspec


class DatabaseSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`path` is the SQLite file that api, conductor and scheduler share; its folder is made, and theirs alone."""

    path: str = "/var/lib/haulier/haulier.db"

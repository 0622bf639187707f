"""The settings of the API process. Times are in seconds, sizes in bytes."""

import msgspec


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`policy_file` is an operator's policy.yaml that overrides rules of `api/policy.py`, None for none."""

    host: str = "127.0.0.1"
    port: int = 8774
    """0 takes a free one; the service says which."""
    down_after: float = 60.0
    """Silence of an agent after which its host counts as down."""
    policy_file: str | None = None
    max_limit: int = 1000
    """Most items in one page of a list."""
    max_body: int = 114_688
    """Largest JSON body, Nova's own limit."""
    shutdown_timeout: float = 10.0
    """How long requests in hand get when the API is told to end; then their connections are closed."""
    console_timeout: float = 10.0
    """How long a question for a console log may take."""
    audit_timeout: float = 45.0
    """How long an audit may take: every host is asked, and what looks wrong is looked at twice.

    Not more than 60: a networked bus lets nobody answer later than that."""
    users_file: str = "/etc/haulier/users.json"
    """Who may ask; `api/identity/users.py` says what is in it. It has to be there."""
    keys_dir: str = "/var/lib/haulier/keys"
    """The keys that seal tokens; the first start makes one."""
    token_seconds: float = 8 * 3600.0
    images_dir: str = "/var/lib/haulier/images"
    """One file per image, named by its id; agents read it."""
    image_max_bytes: int = 64 << 30
    """Largest image that may be uploaded."""
    image_sweep_every: float = 600.0
    """How often the data of deleted images is looked for that no server rests on any more."""

"""Who asks."""

import msgspec


class Caller(msgspec.Struct, frozen=True):
    """The user behind a request, as the authentication middleware recognised them (`request.state.caller`)."""

    user_id: str
    user_name: str
    project_id: str
    project_name: str
    roles: frozenset[str]

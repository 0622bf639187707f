from tests.functional.images.conftest import admin, api, member, nobody

__all__ = ["admin", "api", "member", "nobody"]

"""The identity API on one screen."""

from starlette.routing import Route

from haulier.api.identity import handlers

ROUTES = [
    Route("/identity", handlers.versions),
    Route("/identity/", handlers.versions),
    Route("/identity/v3", handlers.version),
    Route("/identity/v3/", handlers.version),
    Route("/identity/v3/auth/tokens", handlers.create_token, methods=["POST"]),
    Route("/identity/v3/auth/tokens", handlers.show_token, methods=["GET"]),
    Route("/identity/v3/auth/catalog", handlers.show_catalog),
    Route("/identity/v3/auth/projects", handlers.list_own_projects),
    Route("/identity/v3/projects", handlers.list_projects),
    Route("/identity/v3/projects/{project_id}", handlers.show_project),
    Route("/identity/v3/users", handlers.list_users),
    Route("/identity/v3/users/{user_id}", handlers.show_user),
]

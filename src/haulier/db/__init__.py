"""The database: schema, engine, and one store per noun. Knows nothing of HTTP, messages or rules."""

"""One module per resource: what a route does. No rules of states (`accept/`), no shapes (`views/`), no `except`."""

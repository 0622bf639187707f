"""How processes reach each other: one interface; today the in-process bus, which is the default."""

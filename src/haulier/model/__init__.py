"""The nouns and the rules, pure: no I/O, no clock, no database."""

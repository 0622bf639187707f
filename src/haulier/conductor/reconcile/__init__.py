"""Reconcilers: one file each, named after what they repair. They take no input and find their work in the database."""

"""Answers where a server could go. It never acts, and has no way to reach a compute host (requirement 3)."""

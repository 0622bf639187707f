"""The agent: one per host. It does what the conductor tells it, reports what it sees, and drives QEMU.

It has no database, speaks to no other agent, and decides nothing about where a server lives.
"""

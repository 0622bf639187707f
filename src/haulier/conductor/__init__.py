"""Owns every decision that changes state: the only writer once the API has accepted a request."""

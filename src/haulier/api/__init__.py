"""The Compute API: validates, authorises, translates; writes a request it accepts, and nothing later."""

"""What an answer says: plain functions from rows to the Compute API's shapes, at the microversion asked for."""

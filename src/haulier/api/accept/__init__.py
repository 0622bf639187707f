"""The transactions that accept a request: rules of states, then the rows and the message, all or nothing."""

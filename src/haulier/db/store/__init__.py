"""One module per noun: plain functions over a transaction, and all the SQL there is."""

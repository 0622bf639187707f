"""What a request may say: one module per resource, one type per range of microversions."""

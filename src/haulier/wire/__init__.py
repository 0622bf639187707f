"""What one process may say to another: frozen msgspec Structs, and nothing else."""

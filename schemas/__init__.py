"""What may be asked of Gradwire and what it answers: Pydantic and NumPy only."""

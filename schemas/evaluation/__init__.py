"""What an evaluation run is asked to be, and what it is answered with."""

"""What README.md shows and a command makes."""

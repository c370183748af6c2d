"""What happens to a row: pure, typed steps that run without Ray."""

"""One run: plan, make what is missing, recount, record."""

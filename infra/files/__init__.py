"""Files on any fsspec URL: atomic writes, bounded retries, no credentials in addresses."""

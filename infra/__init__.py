"""Where the work runs and where its bytes live."""

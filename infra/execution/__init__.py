"""Where stages run: Ray Data or this process."""

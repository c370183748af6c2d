"""SCORE: from vectors to a distribution over candidate boxes and a decision."""

"""TASKS: how scores become answers and how answers are counted; one file a task."""

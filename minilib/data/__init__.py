"""Real data that comes with packages, and tasks that are made. Every loader works offline and names its source and licence."""

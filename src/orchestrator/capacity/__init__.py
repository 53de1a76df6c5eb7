"""From measured costs to machines: pure arithmetic, told with the reason of each number."""

"""The ladder: rungs and scales, the sweep, promotion, and what a score is worth."""

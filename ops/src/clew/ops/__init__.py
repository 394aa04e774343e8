"""What operators do with the log itself: look into it, watch who reads it, put dead letters right.

Further commands of `clew`. They read addresses and credentials like a service does, and hold to the broker's rules.
"""

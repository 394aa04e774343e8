"""What every Clew service runs on. It knows events only as `clew.contracts` models and no word of what they mean."""

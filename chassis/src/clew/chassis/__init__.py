"""What every Clew service runs on: consume, publish, health, telemetry."""

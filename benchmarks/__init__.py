"""Measurements. Each program prints ratios taken side by side in one run; none of them is a test."""

"""AG-UI 1.0 over the events of runs: the translation (`fold`, `transcript`), what is asked, and the streams."""

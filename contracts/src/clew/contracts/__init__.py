"""The events of Clew: models, codec and the list of topics."""

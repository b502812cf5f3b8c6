"""Made-up data for `forebay demo`, the same for the same seed."""

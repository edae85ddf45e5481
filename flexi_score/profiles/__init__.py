"""One TOML file a profile: the settings in which it differs from the defaults."""

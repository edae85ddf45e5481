"""One TOML file per profile: the settings in which it differs from the defaults."""

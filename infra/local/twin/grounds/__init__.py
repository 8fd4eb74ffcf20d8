"""Where nodes live, by depth: on loopback, in a network, as machines."""

"""A day of many tenants and engines: the queue's own scripts under a virtual clock."""

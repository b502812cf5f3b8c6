"""Where imports get their files: a folder of this host, an archive, https or git."""

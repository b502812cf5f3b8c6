"""What keeps the backups: one module each, named by the beginning of FOREBAY_BACKUP_TO."""

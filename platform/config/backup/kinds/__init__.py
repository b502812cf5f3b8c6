"""The kinds of backups: one module each, named by the beginning of FOREBAY_BACKUP_TO."""

"""Models, pools and engines in PostgreSQL: from the file, and in force in all processes."""

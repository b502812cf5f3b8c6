"""The trail's tables by month: for the migrations that make them."""

PARTITIONED = ("audit_event", "audit_payload")
MONTHS_AHEAD = 3


def partition(apps, schema_editor):
    """Both tables by month of `at`, with what is in them. PostgreSQL cannot do it in place."""
    with schema_editor.connection.cursor() as cursor:
        for table in PARTITIONED:
            _partition(cursor, table)


def _partition(cursor, table):
    cursor.execute("select indexdef from pg_indexes where tablename = %s", [table])
    wanted = [row[0] for row in cursor.fetchall() if "_pkey" not in row[0]]
    cursor.execute(f"create sequence {table}_seq")
    cursor.execute(f"alter table {table} rename to {table}_flat")
    cursor.execute(f"create table {table} (like {table}_flat including defaults) partition by range (at)")
    cursor.execute(f"alter table {table} alter id set default nextval('{table}_seq')")
    cursor.execute(f"alter sequence {table}_seq owned by {table}.id")
    cursor.execute(f"create table {table}_default partition of {table} default")
    cursor.execute(f"""
        select to_char(m, 'YYYY-MM-01'), to_char(m + interval '1 month', 'YYYY-MM-01'),
               to_char(m, '"y"YYYY"_m"MM')
        from generate_series(
            date_trunc('month', coalesce((select min(at) from {table}_flat), now())
                at time zone 'UTC'),
            (now() at time zone 'UTC') + interval '{MONTHS_AHEAD} months', interval '1 month') m""")
    for begins, ends, name in cursor.fetchall():
        cursor.execute(
            f"create table {table}_{name} partition of {table} "
            f"for values from ('{begins} 00:00+00') to ('{ends} 00:00+00')"
        )
    cursor.execute("select set_config('forebay.system', 'on', true)")
    cursor.execute(f"insert into {table} select * from {table}_flat")
    cursor.execute(f"select setval('{table}_seq', coalesce((select max(id) from {table}), 0) + 1)")
    cursor.execute(f"drop table {table}_flat cascade")
    cursor.execute(f"alter table {table} add primary key (id, at)")
    for index in wanted:
        cursor.execute(index)

-- Entries of the ledger are added, never changed (audit/sql/2_append_only.sql).
select audit_guard('tenants_ledgerentry');

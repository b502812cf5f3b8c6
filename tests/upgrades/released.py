"""The last release, from which an upgrade to this version begins (docs/operations/upgrade.md)."""

VERSION = "0.1.0"
COMMIT = "6c21b1fa34ac9fb44344d50ce9049965b3857e8f"
# The last migration of each app then: those after it must suit the code of that release.
LEAVES = {
    "audit": "0008_fewer_indexes",
    "inference": "0025_uploads_in_parts",
    "tenants": "0017_pool_prices",
}

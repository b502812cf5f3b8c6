"""What covers each documented command: test_documented_commands.py in tests/e2e runs it, or a test
does that is named here; or none does, for a reason that is given.

A rule is a regular expression for the whole command; the first that fits counts.
"""

import re

RUN = "run as it is written"
CLUSTER = "needs a Kubernetes cluster; tests/deploy/kubernetes renders and reads what is applied"
ROOT = "changes a machine as root; tests/deploy/ reads the units and runs the wheel"
GPU = "needs a GPU and its driver"
SUITE = "runs this suite"
CHANGES = "changes this checkout"
INDEX = "needs a package index"
ELSEWHERE = "is typed on a machine of the reader, with names of theirs"

_START = "tests/supervisor/test_start_and_stop.py::test_it_says_what_to_open_and_what_to_paste"
_BACKUP = "tests/supervisor/test_backups.py::test_a_dump_and_a_base_backup_are_made_and_put_back"
_LOST_DISK = "tests/e2e/test_backup.py::test_a_lost_disk_costs_no_answer_and_brings_nobody_back"
_MODEL_FILES = (
    "tests/inference/model_registry/test_model_files.py::test_versions_without_files_are_named"
)
_KEPT = "tests/config/backup/test_commands.py::test_what_is_typed_each_day"
_HA = "tests/deploy/test_ha.py::"
_DRILL = "tests/config/drills/test_command.py::"
_PGBACKREST = (
    "tests/config/backup/test_pgbackrest.py::"
    "test_a_base_is_made_listed_and_put_back_to_its_end_and_to_a_moment"
)
_COMPOSE = "tests/deploy/test_compose_runs.py::test_all_come_up_in_order_and_are_well"
_IMAGE = "tests/deploy/test_compose_runs.py::test_without_an_image_nothing_begins"
_OFFLINE = "tests/audit/exports/test_export_format.py::test_an_export_verifies_offline"
_CERTIFICATES = "tests/config/command/test_certificates.py::"
_WHEEL = "tests/deploy/test_wheel_runs.py::test_the_whole_platform_runs_and_answers"
_TLS = "tests/e2e/test_tls.py::test_every_port_speaks_tls_1_3_alone"
_SIMULATED = "tests/bench/test_simulated_days.py::test_a_seed_gives_the_same_day_again"
_GRPC = "tests/e2e/test_grpc.py::test_the_example_works_as_it_stands"
_ALERTS = "tests/deploy/test_alert_rules.py::test_each_alert_fires_and_not_just_below_and_ends"
_DRIFT = "tests/inference/registry/test_drift.py::test_the_command_prints_it_and_fails_if_told_to"
_OPERATING = (
    "tests/config/command/operating/test_documentation.py::"
    "test_the_commands_of_the_page_work_as_they_are_typed"
)
_CLIENT = "tests/e2e/test_generated_client.py::test_it_chats_embeds_and_lists_models"
_ADAPTER = "tests/e2e/test_adapters.py::test_a_life_of_an_adapter"
_POLICIES = (
    "tests/config/command/operating/test_policies.py::"
    "test_a_policy_is_written_reviewed_promoted_and_stopped"
)
_CONTEST = (
    "tests/inference/api/decisions/test_rights.py::test_a_contest_is_entered_decided_and_answered"
)
_KNOWLEDGE = (
    "tests/config/command/operating/test_knowledge.py::test_files_are_uploaded_shown_and_removed"
)
_ALIASES = "tests/config/command/operating/test_aliases.py::test_it_is_set_changed_and_removed"
_DIALOGUES = (
    "tests/inference/api/dialogues/test_dialogues.py::"
    "test_an_assistant_greets_and_answers_by_its_rules"
)
_MODELS = "tests/config/command/operating/test_models_pages.py::"

_QUICK_START = (
    "tests/e2e/test_quick_start.py::test_pages_become_a_model_that_is_evaluated_and_answers"
)
_FLEET = "tests/ansible/test_fleet.py::"
_TRAINER = (
    "tests/trainer/formats/test_eight_bits.py::test_the_order_of_the_page_is_done_by_its_command"
)

RULES: list[tuple[str, str]] = [
    (r"curl .*/v1/decisions/DECISION/contest .*", _CONTEST),
    (r"make (test|check|coverage)", SUITE),
    (r"python -m trainer ORDER\.json", _TRAINER),
    (r"make bench", "measures for more than an hour; tests/bench/ runs its parts"),
    (r"git (clone .*|pull)", ELSEWHERE),
    (r"export ((ANTHROPIC|OPENAI)_BASE_URL|OLLAMA_HOST)=.*", ELSEWHERE),
    (r"openapi-python-client generate .*", _CLIENT),
    (r"(FOREBAY_\w+=\S+ |OTEL_\w+=\S+ )*(make|forebay) run", _START),
    (r"forebay --config \S+ web", _WHEEL),
    # Management commands and the APIs, on one running platform.
    (r"make (-s )?manage ARGS='(create_tenant|create_api_key|audit_verify) ?.*'", RUN),
    (r"make isolation", RUN),
    (r"\.venv/bin/python manage\.py audit_check", RUN),
    (r"forebay (models|pools|engines|prices|limits) .*", _OPERATING),
    (r"curl \$URL/api/v1/engines/ .*", _OPERATING),
    (r"export PATH=.*|export FOREBAY_API_KEY=\$\(make .*", _QUICK_START),
    (r"make -s manage ARGS='register_model .*'", _QUICK_START),
    (r"forebay jobs create demo .*", _QUICK_START),
    (r"forebay adapters (create|promote) .*", _QUICK_START),
    (r"forebay aliases (set|list|remove) .*", _ALIASES),
    (r"forebay knowledge (create|upload|search) .*", _KNOWLEDGE),
    (r"forebay policies (write|submit|promote|challenge|roll-back) .*", _POLICIES),
    (r"tar -czf var/pages.tar.gz .*|python3 -c 'import json, pathlib; .*", _QUICK_START),
    (r"forebay evaluate smollm2-135m:manual .*", _QUICK_START),
    (r"curl http://localhost:8000/v1/chat/completions .*smollm2-135m:manual.*", _QUICK_START),
    (
        r"forebay demo fraud",
        "tests/inference/api/policy_evaluations/test_demo.py::"
        "test_it_makes_a_policy_that_decides_and_leaves_no_key_behind",
    ),
    (
        r"forebay demo service",
        "tests/inference/api/dialogues/test_demo.py::"
        "test_it_makes_an_assistant_that_answers_and_changes_nothing_a_second_time",
    ),
    (
        r"forebay tree .*",
        "tests/config/command/test_tree.py::test_it_prints_a_tree_that_a_policy_takes",
    ),
    (r"forebay evaluate .*", _MODELS + "test_evaluation"),
    (r"forebay jobs (list|create|follow|pause) .*", _MODELS + "test_jobs"),
    (r"forebay data-sets (upload|show|report) .*", _MODELS + "test_data_sets"),
    (
        r"\.venv-train/bin/pip install lm-eval|HF_HUB_OFFLINE=1 .* \.venv-train/bin/lm_eval .*",
        INDEX,
    ),
    (
        r"forebay trainer (install|check)( --yes)?",
        "tests/config/command/test_trainer.py::test_it_says_what_it_takes_installs_and_is_ready",
    ),
    (r"export FOREBAY_(URL|(OPERATOR|API)_KEY_FILE)=.*", ELSEWHERE),
    (r"forebay manage (breaker|reconcile|audit_check|audit_verify|compliance_report).*", RUN),
    (r"forebay manage (rotate_keys --tenant|seal_secret) .*", RUN),
    (
        r"forebay manage rotate_keys --master --new",
        "tests/audit/keys/test_rotation.py::test_the_command",
    ),
    (r"FOREBAY_ENGINES=engines.toml make manage ARGS='engines_drift'", _DRIFT),
    (r"curl \$URL/v1/chat/completions .*smollm2-135m:support.*", _ADAPTER),
    (r"curl http://localhost:8000/v1/dialogues .*", _DIALOGUES),
    (r"curl (http://127.0.0.1:8000|http://HOST:8000|\$URL)/.*", RUN),
    (
        r"curl -X POST …/api/v1/deletion-requests/ .*",
        "tests/console/api/test_deletions.py::test_a_program_asks_and_a_person_decides",
    ),
    (r"curl -sS -m 5 http://ENGINE/health", ELSEWHERE),
    (r"curl --cacert var/tls/ca.crt https://localhost:8000/livez", _TLS),
    (r"psql \"\$\w+\" .*", RUN),
    (r"python \.\./\.\./audit/offline/forebay_verify.py certificate .*", RUN),
    (r"python (audit/offline/)?forebay_verify.py .*", _OFFLINE),
    (r"forebay check", "tests/config/command/test_check.py::test_servers_and_tables_are_looked_at"),
    (r"python docs/examples/grpc_client.py .*", _GRPC),
    (r"pip install grpcio-tools grpcio-status", INDEX),
    (r"python -m grpc_tools.protoc .*", _GRPC),
    (r".venv/bin/python -m bench.simulate .*", _SIMULATED),
    (r".venv/bin/python manage.py (makemessages|compilemessages) .*", CHANGES),
    # The database of one's own, and backups.
    (r"export DATABASE_URL=.*|export FOREBAY_REQUESTS_DATABASE_URL=.*", ELSEWHERE),
    (
        r".venv/bin/python manage.py (migrate|audit_protect .*)",
        "tests/supervisor/test_database_roles.py::test_tables_are_handed_over_at_each_start",
    ),
    (r"FOREBAY_BACKUP_TO=\S+ forebay run", _LOST_DISK),
    (r"forebay backup (kit|status|verify).*", _LOST_DISK),
    (r"forebay backup (list|now)", _KEPT),
    (r"forebay manage model_files", _MODEL_FILES),
    # Disaster recovery.
    (r"forebay drill (plan|run --only switch_over)", f"{_DRILL}test_a_plan_is_printed_and_run"),
    (r"forebay drill run", f"{_DRILL}test_nothing_is_broken_where_not_all_is_well"),
    (r"forebay drill (status|undo)", f"{_DRILL}test_what_is_typed_between_drills"),
    (r"python -m deploy\.ha cluster.yml OUT", _HA + "test_the_program_makes_passwords_once"),
    (r"echo 'DAEMON_ARGS=.*", _HA + "test_etcd_starts_by_the_page_with_its_file_alone"),
    (r"make drill", "a cluster of namespaces, as root; tests/drills is that program"),
    (r"forebay restore --data .*", _PGBACKREST),
    (r"forebay restore .*", _LOST_DISK),
    (r"tail \$FOREBAY_HOME/logs/backup.log|df -h \$FOREBAY_HOME", ELSEWHERE),
    (r"pg_dump -U postgres -Fc forebay >forebay.dump", ELSEWHERE),
    (r"make (-s postgres ARGS='.*'( [<>]forebay.dump)?|servers)", _BACKUP),
    (r"mv var/postgres .*|cp -a /backup/.*", _BACKUP),
    # Ansible.
    (
        r"ansible-playbook (-i inventory.yml )?forebay.platform.(secrets|manage) .*",
        _FLEET + "platform",
    ),
    (
        r"python -m deploy.ha .* secrets|ansible-playbook -i OUT/inventory.yml .*",
        "tests/ansible/test_cluster.py::test_a_cluster_is_made_from_hosts_that_have_nothing",
    ),
    (
        r"ansible-playbook -i inventory.yml (-i OUT/inventory.yml )?forebay.platform.site.*",
        _FLEET + "test_a_second_run_of_the_site_changes_nothing",
    ),
    (
        r"ansible-playbook -i inventory.yml forebay.platform.(model|verify).*",
        _FLEET + "test_the_fleet_gets_its_first_version_and_answers_through_the_proxy",
    ),
    (
        r"ansible-playbook -i inventory.yml playbook.yml .*",
        "tests/ansible/test_engine.py::test_the_playbook_with_git_and_compose_serves_a_tag",
    ),
    (
        r"python3 -m venv ~/ansible|~/ansible/bin/.*|python3 -m pip download .*",
        INDEX,
    ),
    (r"tar -C wheels -cf wheels.tar .", _FLEET + "platform"),
    (
        r"forebay energy sweep .*",
        "tests/config/energy/test_sweep.py::"
        "test_each_clock_is_held_while_it_is_measured_and_given_back",
    ),
    # Installations.
    (r"(useradd|install|systemctl|cp deploy/systemd/|chown) ?.*", ROOT),
    (r"export (\w+=/(etc|var/lib)/forebay\S* ?)+", ROOT),
    (r"(python3 -m venv /opt|/opt/forebay/bin/pip) ?.*", ROOT),
    (r"for key in .*|\(umask 077; openssl rand .*", ROOT),
    (r"make image|podman run .*", _IMAGE),
    (
        r"cd deploy/compose|cp \.env\.example \.env|sudo sh make_secrets.sh|docker compose .*",
        _COMPOSE,
    ),
    (r"(kubectl|helm) .*", CLUSTER),
    (r"cd /etc/prometheus/tests && promtool test rules \*\.yml", _ALERTS),
    (
        r"forebay certificates (server|client) .*",
        _CERTIFICATES + "test_a_server_with_its_authority",
    ),
    (r"forebay certificates renew", _CERTIFICATES + "test_renewing"),
    (r"forebay certificates list", _CERTIFICATES + "test_listing"),
    (r"openssl x509 .*", ELSEWHERE),
    (r"nvidia-smi.*|dmesg \| grep -i xid", GPU),
    # PromQL beside commands, to paste into Prometheus: tests/deploy/test_alert_rules.py.
    (r"(\(min|sum) by .*", _ALERTS),
]


def how(command: str) -> str:
    """ "" where nothing covers it."""
    return next((covers for pattern, covers in RULES if re.fullmatch(pattern, command)), "")

"""The settings of Django and the platform. Differences between places are in environment.py."""

import os
from typing import Any
from urllib.parse import urlsplit

import environ
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _

from config import backup_settings, environment
from config.http.origins import is_loopback, own_origins
from config.logs import printed_text
from config.tls import configured_files as tls
from inference import engine_launch
from infrastructure.redis.servers import channels_host

BASE_DIR = environment.PROJECT
FOREBAY_HOME = environment.HOME
environment.tell_libraries()
env = environ.Env()
LOG_FORMAT = environment.log_format()
BACKUP_TO = backup_settings.address()
BACKUP_STREAMS = bool(BACKUP_TO) and not BACKUP_TO.startswith(backup_settings.PGBACKREST)
_LOG_LEVEL = environment.one_of(
    "FOREBAY_LOG_LEVEL", "INFO", "DEBUG", "WARNING", "ERROR", "CRITICAL"
)
if LOG_FORMAT == "json":
    printed_text.begin()

# Secrets -----------------------------------------------------------------------------------------
MASTER_KEYS = environment.master_keys()
_SECRET = environment.platform_secret(MASTER_KEYS)
AUDIT_SIGNING_KEY = environment.audit_signing_key()  # the database never sees it
AUDIT_PUBLIC_KEYS_OLD = environment.audit_public_keys_old()
WITNESSES = environment.witnesses()


def _derived(purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"forebay:" + purpose).derive(_SECRET)


SECRET_KEY = _derived(b"django").hex()
API_KEY_PEPPER = _derived(b"api-key")
CACHE_SALT_KEY = _derived(b"cache-salt")
STREAM_KEY = _derived(b"stream")
SECOND_FACTOR_KEY = _derived(b"second-factor")
SCOPE_KEY = _derived(b"row-security")  # proves to the database for whom a scope is open
CONFIGURATION_KEY = _derived(
    b"configuration"
)  # opens `sealed:` (audit/keys/configuration_secrets.py)
SECRET_CHECK = _derived(b"check")  # stored encrypted, to detect wrong secrets at a start

# Addresses ---------------------------------------------------------------------------------------
DEBUG = env.bool("FOREBAY_DEBUG", default=False)
HOST = environment.variable("FOREBAY_HOST", "127.0.0.1")
PORT = environment.port("FOREBAY_PORT", 8000)
PUBLIC_URL = environment.public_url(HOST, PORT)
FURTHER_HOSTS = env.list("FOREBAY_ALLOWED_HOSTS", default=[])
ALLOWED_HOSTS = [
    "localhost",
    "127.0.0.1",
    "[::1]",
    HOST,
    urlsplit(PUBLIC_URL).hostname or HOST,
    *FURTHER_HOSTS,
]
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
OWN_ORIGINS = own_origins(PUBLIC_URL, [HOST, *FURTHER_HOSTS])
environment.refuse_counted_proxies()
# `first_run` reads it. Another word, such as "no", would make the demo tenant.
environment.one_of("FOREBAY_DEMO", "1", "0")
WEB_PROXIES = environment.proxies("FOREBAY_WEB_PROXIES")
GRPC_PROXIES = environment.proxies("FOREBAY_GRPC_PROXIES")
# Connections, of each web process (http/bounded_http.py). 0: as many as the system allows.
CONNECTIONS = environment.number("FOREBAY_CONNECTIONS", 10_000)
CONNECTIONS_PER_ADDRESS = environment.number("FOREBAY_CONNECTIONS_PER_ADDRESS", 1000)
HEAD_TIMEOUT_S = environment.number("FOREBAY_HEAD_TIMEOUT_S", 10)
BODY_TIMEOUT_S = environment.number("FOREBAY_BODY_TIMEOUT_S", 60)
BODY_BYTES_PER_S = max(1, environment.number("FOREBAY_BODY_BYTES_PER_S", 16_384))
BODY_LONGEST_S = environment.number("FOREBAY_BODY_LONGEST_S", 600)
SEND_TIMEOUT_S = environment.number("FOREBAY_SEND_TIMEOUT_S", 60)
# Longer than clients keep an idle connection (OpenAI's SDK 5 s, nginx 60 s, Go 90 s), so that they
# close first, and none sends a request into our closing.
KEEP_ALIVE_S = environment.number("FOREBAY_KEEP_ALIVE_S", 120)
# Time for running requests when a web or gRPC process is told to stop; where that is long, also for
# the next request of an idle connection: it may be on its way.
DRAIN_S = environment.number("FOREBAY_DRAIN_S", environment.SHORT_DRAIN_S)
LAST_CALL_S = 5 if DRAIN_S > 10 else 0
_TLS = PUBLIC_URL.startswith("https://")

# TLS of our own ports (config/tls): paths of PEM files. Without a certificate all speak in clear.
TLS_CERTIFICATE, TLS_KEY = tls.own_files()

# gRPC (config/grpc_server.py)
GRPC_PORT = environment.port("FOREBAY_GRPC_PORT", 0, least=0)
GRPC_CERTIFICATE, GRPC_PRIVATE_KEY = tls.grpc_files((TLS_CERTIFICATE, TLS_KEY))
GRPC_CLIENT_CA = tls.client_authorities(tls.GRPC_CLIENTS, (TLS_CERTIFICATE, TLS_KEY))
GRPC_REFLECTION = env.bool("FOREBAY_GRPC_REFLECTION", default=False)

# Applications ------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "axes",
    "channels",
    "csp",
    "django_htmx",
    "guardian",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "audit",
    "tenants",
    "inference",
    "console",
]
MIDDLEWARE = [
    "console.client_network.ClientNetwork",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "console.reader_time_zone.reader_time_zone",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "console.account.session_limits.SessionLimits",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# PostgreSQL, Redis, Celery -----------------------------------------------------------------------
DATABASE_URL = environment.variable("DATABASE_URL", "postgres://postgres@127.0.0.1:5432/forebay")
DATABASE_PATIENCE = environment.DATABASE_PATIENCE
# For so long requests wait while another PostgreSQL becomes primary, before they are refused.
FAILOVER_WAIT_S = environment.number("FOREBAY_FAILOVER_WAIT_S", 10)
# The rows that Django's connection sees until a scope is opened (tenants/scope.py): "system" all,
# "none" none. The hot path's own connections belong to the platform, not to a tenant.
DATABASE_SCOPE = environment.one_of("FOREBAY_DATABASE_SCOPE", "none", "system")
_PATIENT: dict[str, Any] = {"options": environment.SERVER_PATIENCE}
SEES_ALL: dict[str, Any] = {"options": f"{environment.SERVER_PATIENCE} -c forebay.system=on"}
# Requests of the web process connect as a role that cannot open the system's scope
# (docs/deployment-database.md). Only infrastructure/postgres/scope.py reaches the other one.
REQUESTS_DATABASE_URL = environment.variable("FOREBAY_REQUESTS_DATABASE_URL", DATABASE_URL)
# For `migrate` as a superuser: the roles of the application, which get the tables.
APPLICATION_ROLE = env.str("FOREBAY_APPLICATION_ROLE", default="")
REQUESTS_ROLE = env.str("FOREBAY_REQUESTS_ROLE", default="")
_SYSTEM = environment.database(DATABASE_URL, SEES_ALL)
_REQUESTS = environment.database(REQUESTS_DATABASE_URL, _PATIENT, "FOREBAY_REQUESTS_DATABASE_URL")
# Celery's threads keep their connection between tasks; no other outlives a request.
CELERYS_CONNECTION = {"CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True}
DATABASES: dict[str, Any] = (
    {"default": _SYSTEM | CELERYS_CONNECTION}
    if DATABASE_SCOPE == "system"
    else {"default": _REQUESTS, "system": _SYSTEM}
)
REDIS_URL = environment.variable("REDIS_URL", "redis://127.0.0.1:6379/0")
BROKER_URL = environment.broker_url(REDIS_URL)  # of Celery, Channels and the cache
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [channels_host(BROKER_URL)]},
    },
}
# The default is for django-allauth's rate limits, shared by all web processes; "process" is for
# figures that are valid for seconds.
CACHES = {
    "default": {
        "BACKEND": "console.account.optional_cache.ForgivingCache",
        "LOCATION": BROKER_URL,
        "KEY_PREFIX": "fb:cache",
        "OPTIONS": {
            "serializer": "django.core.signing.JSONSerializer",
            "pool_class": "infrastructure.redis.servers.Pool",
            "socket_connect_timeout": 0.5,
            "socket_timeout": 0.5,
        },
    },
    "process": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}

# Inference ---------------------------------------------------------------------------------------
ENGINES = environment.engines()
# Networks of engines that are not hosted (infrastructure/networks.py).
INTERNAL_NETWORKS = environment.networks("FOREBAY_INTERNAL_NETWORKS", environment.OWN_NETWORKS)
ENGINES_DECLARED = bool(environment.variable("FOREBAY_ENGINES"))
SEVERAL_HOSTS = bool(environment.variable("FOREBAY_ROLES"))
MODEL_FOLDERS = environment.model_folders()
ENGINE_KEYS_FILE = FOREBAY_HOME / "secrets" / "engines.key"  # of servers that `make run` starts
ADAPTERS_FOLDER = engine_launch.adapters_folder(FOREBAY_HOME)  # for engines to load
ADAPTERS_PER_TENANT = environment.number("FOREBAY_ADAPTERS_PER_TENANT", 20, least=0)
ADAPTERS_PER_ENGINE = environment.number("FOREBAY_ADAPTERS_PER_ENGINE", 8, least=0)  # llama.cpp
QUEUE_LIMITS = environment.queue_limits()  # by class of work, where a pool says nothing else
SESSION_HEADERS, SESSION_FIELDS = environment.session_names()
WORK_CLASSES = environment.work_classes()  # of plans and routes, before inference/classes.py
# How long requests wait for the engine that has their prompt in its cache; 0: for none.
WARM_WAIT_MS = environment.number("FOREBAY_WARM_WAIT_MS", 200, least=0)
REQUEST_DEADLINE_S = environment.number("FOREBAY_REQUEST_DEADLINE_S", 600)
MAX_BODY_BYTES = environment.number("FOREBAY_MAX_BODY_BYTES", 4 * 1024 * 1024)
CURRENCY = env.str("FOREBAY_CURRENCY", default="CNY")  # of prices and cost quotas
# The answer cache in Redis (inference/cache): how long, and the bytes of all tenants together.
CACHE_TTL_S = environment.number("FOREBAY_CACHE_TTL_S", 3600)
CACHE_BYTES = environment.number("FOREBAY_CACHE_BYTES", 256 * 1024 * 1024)
PRICE_FACTORS = {"batch": environment.fraction("FOREBAY_BATCH_PRICE_FACTOR", 0.5)}  # by class
ADDRESS_PER_MINUTE = environment.number("FOREBAY_IP_PER_MINUTE", 100)
# The limit on pages for people whose session this process does not know yet.
PAGES_PER_MINUTE = environment.number("FOREBAY_PAGES_PER_MINUTE", 3 * ADDRESS_PER_MINUTE)
# Sessions and messages of an address in widgets on pages of tenants.
WIDGET_PER_MINUTE = environment.number("FOREBAY_WIDGET_PER_MINUTE", 30)

# Energy (inference/energy, config/energy) ---------------------------------------------------------
ENERGY_RESTS = environment.energy() in ("engines", "on")
ENERGY_CLOCKS = environment.energy() in ("clocks", "on")
ENERGY_FULL = environment.share("FOREBAY_ENERGY_FULL", 0.58)  # of slots: above it an engine wakes
# Seconds of low load until an engine rests.
ENERGY_HOLD_S = environment.number("FOREBAY_ENERGY_HOLD_S", 300, least=60)
ENERGY_SLOWER = environment.fraction("FOREBAY_ENERGY_SLOWER", 0.03)  # p99, at a lower clock
ENERGY_FIRST_TOKEN_MS = environment.number("FOREBAY_ENERGY_FIRST_TOKEN_MS", 500, least=0)
ENERGY_AGENT = environment.variable("FOREBAY_ENERGY_AGENT", "/run/forebay-energy/agent.sock")
CARBON_G_PER_KWH = environment.fraction("FOREBAY_CARBON_G_PER_KWH", 0.0)  # 0: unknown

# Metrics (config/metrics) ------------------------------------------------------------------------
METRICS_PORT = environment.number(
    "FOREBAY_METRICS_PORT", 0, most=environment.LAST_PORT
)  # of this process; 0: none
METRICS_HOST = env.str("FOREBAY_METRICS_HOST", default="127.0.0.1")
METRICS_TOKEN_FILE = environment.metrics_token_file()
METRICS_TENANTS = environment.tenants("FOREBAY_METRICS_TENANTS")  # with a label of their own
METRICS_CLIENT_CA = tls.client_authorities(tls.METRICS_CLIENTS, (TLS_CERTIFICATE, TLS_KEY))
TRACES = environment.traces()
# The part of a client's traceparent that counts: its ids, also whether it is sampled, or nothing.
TRACES_CLIENTS = environment.one_of("FOREBAY_TRACES_CLIENTS", "ids", "sampling", "off")
TRACES_HOSTED = environment.one_of("FOREBAY_TRACES_HOSTED", "off", "on") == "on"  # may hear of them
TRACES_TENANTS = environment.tenants("FOREBAY_TRACES_TENANTS", "all")  # named in spans

# Files and batches (inference/batch) --------------------------------------------------------------
BATCH_LINES = environment.number("FOREBAY_BATCH_LINES", 50_000)
BATCH_IN_FLIGHT = environment.number("FOREBAY_BATCH_IN_FLIGHT", 64)  # requests of one batch
BATCH_TENANT_IN_FLIGHT = environment.number("FOREBAY_BATCH_TENANT_IN_FLIGHT", 128)
BATCHES_UNDER_WAY = environment.number("FOREBAY_BATCHES_UNDER_WAY", 100)  # of a tenant
TENANT_FILES_MOST = environment.number("FOREBAY_FILES_MOST", 100_000)  # parts of uploads among them
BATCH_WINDOW = environment.batch_window()
LARGEST_FILE_BYTES = environment.number("FOREBAY_FILE_BYTES", 200 * 1000 * 1000)
TENANT_FILES_BYTES = environment.number("FOREBAY_FILES_BYTES", 5 * 1000 * 1000 * 1000)

# Models (inference/model_registry) ----------------------------------------------------------------
MODEL_STORE = environment.variable("FOREBAY_MODEL_STORE") or str(FOREBAY_HOME / "model-store")
MODEL_COPIES = FOREBAY_HOME / "model-copies"  # those that this host uses
MODEL_COPIES_BYTES = environment.number("FOREBAY_MODEL_COPIES_BYTES", 200 * 1000 * 1000 * 1000)
MODEL_IMPORTS = FOREBAY_HOME / "model-imports"  # while they arrive
MODEL_HOSTS = environment.words(environment.variable("FOREBAY_MODEL_HOSTS"))
TENANT_MODELS_BYTES = environment.number("FOREBAY_MODELS_BYTES", 50 * 1000 * 1000 * 1000)

# Hosts of webhooks that may have private addresses (infrastructure/webhooks/addresses.py)
ACTION_HOSTS = environment.words(environment.variable("FOREBAY_ACTION_HOSTS"))

# Task sets that may bear the name of a public benchmark, by their hashes (inference/evaluation)
BENCHMARKS = environment.benchmarks()

# Data sets (inference/data_sets) ------------------------------------------------------------------
DATA_SET_BYTES = environment.number("FOREBAY_DATA_SET_BYTES", 2 * 1000 * 1000 * 1000)  # a version
DATA_SETS_BYTES = environment.number("FOREBAY_DATA_SETS_BYTES", 20 * 1000 * 1000 * 1000)

# Knowledge bases (inference/knowledge) ------------------------------------------------------------
KNOWLEDGE_DOCUMENT_BYTES = environment.number("FOREBAY_KNOWLEDGE_DOCUMENT_BYTES", 20_000_000)
KNOWLEDGE_BASE_BYTES = environment.number("FOREBAY_KNOWLEDGE_BASE_BYTES", 1000 * 1000 * 1000)
KNOWLEDGE_BYTES = environment.number("FOREBAY_KNOWLEDGE_BYTES", 5 * 1000 * 1000 * 1000)

# Files of the chat (inference/chat/attachments) --------------------------------------------------
ATTACHMENT_BYTES = environment.number("FOREBAY_ATTACHMENT_BYTES", 20_000_000)

# Jobs (inference/jobs) ----------------------------------------------------------------------------
TRAINER_PYTHON = environment.variable("FOREBAY_TRAINER_PYTHON") or str(
    FOREBAY_HOME / "trainer" / "bin" / "python"
)
TRAINER_THREADS = environment.number("FOREBAY_TRAINER_THREADS", max(1, (os.cpu_count() or 2) // 2))
JOB_STORE = environment.variable("FOREBAY_JOB_STORE") or str(FOREBAY_HOME / "job-store")
CHECKPOINTS_BYTES = environment.number("FOREBAY_CHECKPOINTS_BYTES", 100 * 1000 * 1000 * 1000)
JOB_FOLDER = FOREBAY_HOME / "jobs"  # of jobs that this host's workers have
JOB_ORDER_GPU_S = environment.number("FOREBAY_JOB_ORDER_GPU_S", 3600)  # set aside at once
JOBS_UNDER_WAY = environment.number("FOREBAY_JOBS_UNDER_WAY", 20)  # of a tenant

# Drills (config/drills) ---------------------------------------------------------------------------
DRILLS = env.str("FOREBAY_DRILLS", default="")  # what they may break, and how: a TOML file

# Processes that take requests ---------------------------------------------------------------------
WEB_PROCESSES = environment.number("FOREBAY_WEB_PROCESSES", 1)
_HERE = WEB_PROCESSES + int(GRPC_PORT > 0)
# The number on all machines. While Redis is away, each has its share of every limit.
ADMITTING_PROCESSES = environment.number("FOREBAY_ADMITTING_PROCESSES", _HERE)
# The number of this process; 0: unknown, or other machines count from 1 too.
PROCESS_NUMBER = (
    environment.number("FOREBAY_PROCESS_NUMBER", 0) if ADMITTING_PROCESSES == _HERE else 0
)

WORKERS_PER_ENGINE = environment.number("FOREBAY_WORKERS_PER_ENGINE", 1)

# Deletion requests (audit/erasure/deletion.py) ----------------------------------------------------
DELETION_SILENCE_H = environment.number("FOREBAY_DELETION_SILENCE_H", 24)  # then approved
DELETION_WEBHOOK = env.str("FOREBAY_DELETION_WEBHOOK", default="")  # gets the recipients of data

# Notices (tenants/notices) ------------------------------------------------------------------------
_MAIL_SERVER = environment.mail_server()
MAIL = bool(_MAIL_SERVER)  # without a server notices by mail are shown, not sent
EMAIL_BACKEND = "tenants.notices.mail_server.MailServer"
EMAIL_HOST = _MAIL_SERVER.get("EMAIL_HOST", "")
EMAIL_PORT = _MAIL_SERVER.get("EMAIL_PORT", 25)
EMAIL_HOST_USER = _MAIL_SERVER.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = _MAIL_SERVER.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = _MAIL_SERVER.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = _MAIL_SERVER.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 15  # seconds
DEFAULT_FROM_EMAIL = environment.variable("FOREBAY_MAIL_FROM") or (
    f"Forebay <no-reply@{urlsplit(PUBLIC_URL).hostname or 'localhost'}>"
)

# People ------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "tenants.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
    "guardian.backends.ObjectPermissionBackend",
]
ANONYMOUS_USER_NAME = None  # guardian makes no row for anonymous users
PASSWORD_HASHERS = [
    "console.account.password_policy.Argon2InTurn",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
_VALIDATION = "django.contrib.auth.password_validation."
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": _VALIDATION + "UserAttributeSimilarityValidator"},
    {"NAME": _VALIDATION + "CommonPasswordValidator"},
    {"NAME": "console.account.password_policy.PolicyValidator"},
]
PROFILE = environment.one_of("FOREBAY_PROFILE", "asvs-5", "mlps-l3")  # of operators
SECOND_FACTOR = environment.one_of("FOREBAY_MFA", "required", "optional")
ACCOUNT_ADAPTER = "console.account.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600
# By address only: a limit by account would let anybody keep its person out. Wrong passwords and
# codes are counted by console.account.lockout, in PostgreSQL.
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    "login_failed": "30/m/ip",
    "reset_password": "20/h/ip,3/h/key",  # by address, whether it has an account or not
}
AXES_HANDLER = "console.account.lockout.Lockout"
AXES_LOCKOUT_PARAMETERS = ["username", "ip_address"]
AXES_CLIENT_IP_CALLABLE = "console.client_network.client_ip"
AXES_ENABLE_ADMIN = AXES_VERBOSE = False
AXES_DISABLE_ACCESS_LOG = True
MFA_ADAPTER = "console.account.second_factors.mfa_adapter.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_FORMS = {
    "authenticate": "console.account.second_factors.factor_codes.CodeAtSignIn",
    "reauthenticate": "console.account.second_factors.factor_codes.CodeAsProof",
    "activate_totp": "console.account.second_factors.factor_codes.FirstCode",
    "add_webauthn": "console.account.second_factors.factor_codes.NewKey",
    "edit_webauthn": "console.account.second_factors.factor_codes.KeyName",
}
MFA_TOTP_ISSUER = "Forebay"
MFA_TOTP_TOLERANCE = 1
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_ALLOW_UNVERIFIED_EMAIL = True  # addresses come from invitations
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not _TLS  # browsers themselves allow http for localhost only
SOCIALACCOUNT_ADAPTER = "console.account.identity_providers.oidc.IdentityProviders"
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
SOCIALACCOUNT_AUTO_SIGNUP = False
SOCIALACCOUNT_OPENID_CONNECT_URL_PREFIX = ""
OIDC = environment.oidc()
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "provider_class": "console.account.identity_providers.identity_provider.IdentityProvider",
        "OAUTH_PKCE_ENABLED": True,
        "APPS": OIDC,
    }
}
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"
SESSION_ENGINE = "tenants.accounts.sessions"
SESSION_COOKIE_NAME = "forebay_session"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _TLS
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
# console.client_network takes the header away unless it is that of a named proxy.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# A browser would apply HSTS of localhost to all other programs of a developer, at any port.
SECURE_HSTS_SECONDS = 31536000 if _TLS and not is_loopback(PUBLIC_URL) else 0
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        # Browsers follow a form's redirect by this rule as well.
        "form-action": [SELF, *sorted({environment.origin(app) for app in OIDC})],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# Management API (console/api) ---------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "console.api.requester.OperatorKeyAuthentication",
        "console.api.requester.KeyAuthentication",
        "console.api.requester.PersonAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [],  # each Resource says itself who may do what
    "DEFAULT_PARSER_CLASSES": ["console.api.strict_input.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["console.api.strict_input.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "console.api.document.openapi.ResourceSchema",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Forebay management API",
    "DESCRIPTION": "Tenants, people, keys, limits, quotas and usage. `/v1` speaks OpenAI's API.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": [],
    "SERVE_AUTHENTICATION": [],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": ["console.api.document.openapi.closed_bodies"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"persistAuthorization": False, "validatorUrl": None},
}

# Language, time, files ---------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = environment.time_zone()
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "config.http.hashed_files.HashedFiles"},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "config.logs.formatting.WithoutKeys",
            "format": "{asctime} {levelname} {name}: {message}",
            "style": "{",
        },
        "json": {"()": "config.logs.formatting.AsJson"},
    },
    "handlers": {
        # Without any handler Python prints the error with its traceback: a stranger fills the log.
        "nowhere": {"class": "logging.NullHandler"},
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "json" if LOG_FORMAT == "json" else "line",
        },
    },
    "loggers": {
        "django.security.DisallowedHost": {"handlers": ["nowhere"], "propagate": False},
        "celery": {"level": "WARNING"},  # below, it logs two lines for each task
        "kombu": {"level": "WARNING"},
    },
    "root": {"handlers": ["console"], "level": _LOG_LEVEL},
}

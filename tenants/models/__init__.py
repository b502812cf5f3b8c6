from tenants.key_scopes import Scope
from tenants.models.api_key import ApiKey
from tenants.models.cache_rule import CacheRule
from tenants.models.idempotent_request import IdempotentRequest
from tenants.models.link import Link
from tenants.models.member import Member
from tenants.models.notices.notice import Notice, NoticeMark, NoticeState
from tenants.models.notices.notice_preference import NoticePreference
from tenants.models.notices.notice_target import NoticeTarget, TargetKind
from tenants.models.operator_key import OperatorKey
from tenants.models.people.person import Person
from tenants.models.price import Price
from tenants.models.quotas.ledger import LedgerEntry, Reconciliation
from tenants.models.quotas.quota import Quota, QuotaCounter, QuotaNotice
from tenants.models.quotas.quota_raise import QuotaRaise
from tenants.models.refusal import Refusal
from tenants.models.restricted_model import RestrictedModel
from tenants.models.team import Team, TeamMembership
from tenants.models.tenant import Tenant
from tenants.models.tier import Tier, TierPolicy
from tenants.models.user import PasswordHistory, TextLock, User

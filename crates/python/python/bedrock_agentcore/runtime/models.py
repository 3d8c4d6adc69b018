"""Ping statuses and the names of headers and debug actions."""

from enum import Enum

__all__ = [
    "ACCESS_TOKEN_HEADER",
    "AUTHORIZATION_HEADER",
    "CUSTOM_HEADER_PREFIX",
    "IDENTITY_WAT_HEADER",
    "OAUTH2_CALLBACK_URL_HEADER",
    "PingStatus",
    "REQUEST_ID_HEADER",
    "SESSION_HEADER",
    "TASK_ACTION_CLEAR_FORCED_STATUS",
    "TASK_ACTION_FORCE_BUSY",
    "TASK_ACTION_FORCE_HEALTHY",
    "TASK_ACTION_JOB_STATUS",
    "TASK_ACTION_PING_STATUS",
]


class PingStatus(str, Enum):
    """What an agent says of itself."""

    #: Ready for new work, no background tasks running.
    HEALTHY = "Healthy"
    #: Processing background tasks: the session must be kept alive.
    HEALTHY_BUSY = "HealthyBusy"


SESSION_HEADER = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
REQUEST_ID_HEADER = "X-Amzn-Bedrock-AgentCore-Runtime-Request-Id"
IDENTITY_WAT_HEADER = "X-Amz-Bedrock-AgentCore-Identity-WAT"
ACCESS_TOKEN_HEADER = "WorkloadAccessToken"
OAUTH2_CALLBACK_URL_HEADER = "OAuth2CallbackUrl"
AUTHORIZATION_HEADER = "Authorization"
CUSTOM_HEADER_PREFIX = "X-Amzn-Bedrock-AgentCore-Runtime-Custom-"

TASK_ACTION_PING_STATUS = "ping_status"
TASK_ACTION_JOB_STATUS = "job_status"
TASK_ACTION_FORCE_HEALTHY = "force_healthy"
TASK_ACTION_FORCE_BUSY = "force_busy"
TASK_ACTION_CLEAR_FORCED_STATUS = "clear_forced_status"

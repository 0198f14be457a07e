"""The meaning of a failed insert: wait, repair something, or search for the row at fault.

Codes are ClickHouse's own (`errorCodeToName`); a test compares the names with the engine's.
"""

from __future__ import annotations

from enum import Enum

from clickhouse_connect.driver.exceptions import ClickHouseError, DataError, ProgrammingError

TRANSIENT = {
    3: "UNEXPECTED_END_OF_FILE",  # the connection broke while the batch was sent
    107: "FILE_DOESNT_EXIST",  # a part went away under a merge
    159: "TIMEOUT_EXCEEDED",
    198: "DNS_ERROR",
    201: "QUOTA_EXCEEDED",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    203: "NO_FREE_CONNECTION",
    209: "SOCKET_TIMEOUT",
    210: "NETWORK_ERROR",
    225: "NO_ZOOKEEPER",
    236: "ABORTED",
    241: "MEMORY_LIMIT_EXCEEDED",
    242: "TABLE_IS_READ_ONLY",  # a replica that lost its Keeper
    243: "NOT_ENOUGH_SPACE",
    252: "TOO_MANY_PARTS",  # inserts outran merges; slower is the remedy
    254: "NO_ACTIVE_REPLICAS",
    279: "ALL_CONNECTION_TRIES_FAILED",
    285: "TOO_FEW_LIVE_REPLICAS",
    286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
    290: "LIMIT_EXCEEDED",
    297: "SHARD_HAS_NO_CONNECTIONS",
    319: "UNKNOWN_STATUS_OF_INSERT",  # the token makes a second insert harmless
    364: "RECEIVED_ERROR_TOO_MANY_REQUESTS",
    394: "QUERY_WAS_CANCELLED",
    410: "EXTERNAL_SERVER_IS_NOT_RESPONDING",
    416: "REPLICA_STATUS_CHANGED",
    425: "SYSTEM_ERROR",
    439: "CANNOT_SCHEDULE_TASK",
    473: "DEADLOCK_AVOIDED",
    499: "S3_ERROR",
    519: "NO_REMOTE_SHARD_AVAILABLE",
    574: "DISTRIBUTED_TOO_MANY_PENDING_BYTES",
    692: "TOO_MANY_MUTATIONS",
    733: "TABLE_IS_BEING_RESTARTED",
    745: "SERVER_OVERLOADED",
    762: "HTTP_CONNECTION_LIMIT_REACHED",
    999: "KEEPER_EXCEPTION",
}
"""Passes by itself: the same batch is tried again, as often as it takes."""

OPERATOR = {
    8: "THERE_IS_NO_COLUMN",
    16: "NO_SUCH_COLUMN_IN_TABLE",
    36: "BAD_ARGUMENTS",
    47: "UNKNOWN_IDENTIFIER",
    48: "NOT_IMPLEMENTED",
    60: "UNKNOWN_TABLE",
    62: "SYNTAX_ERROR",
    81: "UNKNOWN_DATABASE",
    115: "UNKNOWN_SETTING",
    164: "READONLY",
    192: "UNKNOWN_USER",
    193: "WRONG_PASSWORD",
    194: "REQUIRED_PASSWORD",
    195: "IP_ADDRESS_NOT_ALLOWED",
    218: "TABLE_IS_DROPPED",
    291: "DATABASE_ACCESS_DENIED",
    392: "QUERY_IS_PROHIBITED",
    452: "SETTING_CONSTRAINT_VIOLATION",
    497: "ACCESS_DENIED",
    516: "AUTHENTICATION_FAILED",
    725: "TOO_MANY_DATABASES",
    774: "TABLE_IS_PERMANENTLY_READ_ONLY",
}
"""Somebody must set this right. No row is at fault, so none becomes a dead letter: the sink waits."""

DATA = {
    6: "CANNOT_PARSE_TEXT",
    26: "CANNOT_PARSE_QUOTED_STRING",
    27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    33: "CANNOT_READ_ALL_DATA",
    38: "CANNOT_PARSE_DATE",
    41: "CANNOT_PARSE_DATETIME",
    53: "TYPE_MISMATCH",
    69: "ARGUMENT_OUT_OF_BOUND",
    70: "CANNOT_CONVERT_TYPE",
    72: "CANNOT_PARSE_NUMBER",
    117: "INCORRECT_DATA",
    128: "TOO_LARGE_ARRAY_SIZE",
    130: "CANNOT_READ_ARRAY_FROM_TEXT",
    131: "TOO_LARGE_STRING_SIZE",
    158: "TOO_MANY_ROWS",
    248: "INVALID_PARTITION_VALUE",
    307: "TOO_MANY_BYTES",
    321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    376: "CANNOT_PARSE_UUID",
    395: "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
    407: "DECIMAL_OVERFLOW",
    467: "CANNOT_PARSE_BOOL",
    469: "VIOLATED_CONSTRAINT",
    691: "UNKNOWN_ELEMENT_OF_ENUM",
}
"""The data is refused: some row of the batch is at fault, and the rest must go in without it."""

TRANSPORT = "transport"
"""The label of errors that are not ClickHouse's answer, but that of the connection to it."""

PATIENCE = 5
"""How often an error in none of the tables is tried again before a row is held to be at fault."""


class InsertFault(Enum):
    """Whose fault a failed insert is."""

    TRANSIENT = "transient"
    OPERATOR = "operator"
    DATA = "data"


def classify(error: Exception, attempt: int) -> InsertFault | None:
    """Return what `error` means at the `attempt`-th try (from 1), or None if it is a defect of ours.

    An error of the transport has no code: whether the batch went in is not known, and its token makes trying
    again harmless.
    """
    if isinstance(error, DataError | UnicodeEncodeError | OverflowError):
        return InsertFault.DATA  # the driver could not even write the rows down
    if not isinstance(error, ClickHouseError):
        return None
    code = getattr(error, "code", None)
    if code is None:
        return None if isinstance(error, ProgrammingError) else InsertFault.TRANSIENT
    if code in TRANSIENT:
        return InsertFault.TRANSIENT
    if code in OPERATOR:
        return InsertFault.OPERATOR
    if code in DATA or attempt >= PATIENCE:
        return InsertFault.DATA
    return InsertFault.TRANSIENT


def label(error: Exception) -> str:
    """Return a bounded label: the name that ClickHouse gives the error, or what kind of error it is."""
    code = getattr(error, "code", None)
    if code is None:
        return TRANSPORT if isinstance(error, ClickHouseError) else type(error).__name__
    return (TRANSIENT | OPERATOR | DATA).get(code, "OTHER")

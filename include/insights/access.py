"""Who may see what in Airflow: figures need read access to the DAG, customers' rows the right to edit it."""

import logging
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.models.dag import DagModel
from airflow.models.log import Log
from airflow.utils.session import create_session
from fastapi import Depends

from include.insights.web import Reader

log = logging.getLogger(__name__)

DAG_ID = "marketing_insights"
EVENT = "insights export"
MayRead = Annotated[Any, Depends(requires_access_dag("GET", param_dag_id=DAG_ID))]


def reader(user: GetUserDep, _allowed: MayRead) -> Reader:
    """Return who asks; Airflow answers 401 without a login and 403 without read access to the DAG."""
    details = DagDetails(id=DAG_ID, team_name=DagModel.get_team_name(DAG_ID))
    may_export = get_auth_manager().is_authorized_dag(method="PUT", details=details, user=user)
    return Reader(user.get_name(), may_export=may_export)


def record_export(who: Reader, what: str) -> None:
    """Write who exported what to the log and to Airflow's audit log."""
    log.info("%s exported %s", who.name, what)
    with create_session() as session:
        session.add(Log(event=EVENT, owner=who.name, owner_display_name=who.name, extra=what, dag_id=DAG_ID))

"""What `astro dev parse` and `astro deploy` run in the image before a deployment: every DAG imports."""

from airflow.dag_processing.dagbag import DagBag


def test_every_dag_file_imports() -> None:
    bag = DagBag("dags")
    assert bag.import_errors == {}
    assert bag.dags

"""The producer is killed and started again: the raw tables may repeat an event, staging does not."""

import random
import time
from pathlib import Path

from standalone.simulator.providers import Simulator
from streaming_workers.events import NEWS_TOPIC, PRICES_TOPIC
from tests.dbt.dbt_project import Project, make_project
from tests.streaming_workers.feed_server import running_simulator
from tests.streaming_workers.harness import Stage
from tests.streaming_workers.producer.producer_process import running_producer

from .exactly_once import assert_exactly_once, wait_for_the_end
from .scenario import FAST

STAGING = {PRICES_TOPIC: "streaming.stg_bitcoin", NEWS_TOPIC: "streaming.stg_news"}


def test_the_producer_is_killed_five_times(stage: Stage, tmp_path: Path) -> None:
    moments = random.Random(8)
    project = Project(make_project(tmp_path / "project").tree, tmp_path, stage.duckdb_path)
    with stage.consumer(**FAST), running_simulator(seed=8, update_seconds=0.5) as (feeds, url):
        for _ in range(5):
            before = len(shown(feeds, "news"))
            with running_producer(tmp_path, url, stage.broker.bootstrap_servers) as producer:
                stage.wait_until(lambda: producer.said("new events"), "new events")
                time.sleep(moments.uniform(0, 1))
                producer.process.kill()
            assert len(shown(feeds, "news")) > before
        stage_events(project)
        with running_producer(tmp_path, url, stage.broker.bootstrap_servers) as producer:
            stage.wait_until(lambda: len(producer.said("new events")) > 2, "new events")
            assert producer.stop()[0] == 0
        wait_for_the_end(stage)
    stage_events(project)

    outcomes = assert_exactly_once(stage)
    for topic, outcome in outcomes.items():
        raw = [row.event_id for row in outcome.rows]
        staged = [event_id for (event_id,) in stage.query(f"select event_id from {STAGING[topic]}")]
        assert sorted(staged) == sorted(set(raw))
        assert not outcome.dead_letters
    news = outcomes[NEWS_TOPIC].rows
    assert len(news) > len({row.event_id for row in news}), "a new producer sends the page's articles again"


def shown(feeds: Simulator, feed: str) -> list[str]:
    return list(feeds.stats()[feed]["shown"])


def stage_events(project: Project) -> None:
    """Run the models of the streams, while the consumer may hold the file or wait for it."""
    outcome = project.dbt("run", "--select", "tag:streaming")
    assert outcome.success, outcome.output[-3000:]

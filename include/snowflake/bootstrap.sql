-- What the product needs in a Snowflake account: roles, users, warehouses, database, grants. Run it as often as you like:
-- what is there stays, what is missing is made, and settings, keys and grants become those of this file.
--
-- It needs ACCOUNTADMIN and the public keys of three users (docs/snowflake.md says how to make them), as text without
-- the PEM's first and last line. They come as variables:
--
--   snow sql --filename include/snowflake/bootstrap.sql \
--       --variable "airflow_public_key=…" --variable "streaming_public_key=…" --variable "reporting_public_key=…"
--
-- In Snowsight paste the file, replace the three place-holders between percent signs, and run all.


-- Who --------------------------------------------------------------------------------------------------------------

use role useradmin;

create role if not exists loader comment = 'Writes raw files';
create role if not exists streamer comment = 'Writes events, and nothing else';
create role if not exists transformer comment = 'Reads raw, owns what dbt and training build';
create role if not exists reporter comment = 'Reads the marts';

grant role loader to role sysadmin;
grant role streamer to role sysadmin;
grant role transformer to role sysadmin;
grant role reporter to role sysadmin;

-- One user for each place that holds a key. Airflow does all; the consumer beside it writes events only.
create user if not exists marketing_airflow type = service;
create user if not exists marketing_streaming type = service;
create user if not exists marketing_reporting type = service;

-- Without secondary roles a session has the privileges of the one role that it was opened with.
alter user marketing_airflow set
    rsa_public_key = '<% airflow_public_key %>'
    default_role = 'TRANSFORMER' default_secondary_roles = () default_warehouse = 'TRANSFORMING'
    comment = 'Airflow: ingestion, dbt, training';
alter user marketing_streaming set
    rsa_public_key = '<% streaming_public_key %>'
    default_role = 'STREAMER' default_secondary_roles = () default_warehouse = 'STREAMING'
    comment = 'The consumer of the Kafka streams';
alter user marketing_reporting set
    rsa_public_key = '<% reporting_public_key %>'
    default_role = 'REPORTER' default_secondary_roles = () default_warehouse = 'REPORTING'
    comment = 'Dashboards and notebooks';

-- Of every session of these users, dbt's among them, which sets none itself: who waits for a lock that a frozen process
-- holds fails after 15 minutes instead of half a day, and what a killed process was running ends.
alter user marketing_airflow set lock_timeout = 900 abort_detached_query = true statement_timeout_in_seconds = 3600;
alter user marketing_streaming set lock_timeout = 900 abort_detached_query = true statement_timeout_in_seconds = 3600;
alter user marketing_reporting set lock_timeout = 900 abort_detached_query = true statement_timeout_in_seconds = 600;

grant role loader to user marketing_airflow;
grant role transformer to user marketing_airflow;
grant role streamer to user marketing_airflow;
grant role streamer to user marketing_streaming;
revoke role loader from user marketing_streaming;
grant role reporter to user marketing_reporting;


-- Where ------------------------------------------------------------------------------------------------------------

use role sysadmin;

-- The size is set once, so that running this again does not undo a warehouse that was made larger.
create warehouse if not exists loading warehouse_size = 'XSMALL' initially_suspended = true;
create warehouse if not exists streaming warehouse_size = 'XSMALL' initially_suspended = true;
create warehouse if not exists transforming warehouse_size = 'XSMALL' initially_suspended = true;
create warehouse if not exists reporting warehouse_size = 'XSMALL' initially_suspended = true;

alter warehouse loading set
    auto_suspend = 60 auto_resume = true
    statement_timeout_in_seconds = 3600 statement_queued_timeout_in_seconds = 600
    comment = 'Files';
alter warehouse streaming set
    auto_suspend = 60 auto_resume = true
    statement_timeout_in_seconds = 3600 statement_queued_timeout_in_seconds = 600
    comment = 'The consumer';
alter warehouse transforming set
    auto_suspend = 60 auto_resume = true
    statement_timeout_in_seconds = 3600 statement_queued_timeout_in_seconds = 1800
    comment = 'dbt and training';
alter warehouse reporting set
    auto_suspend = 60 auto_resume = true
    statement_timeout_in_seconds = 600 statement_queued_timeout_in_seconds = 300
    comment = 'People and dashboards';

create database if not exists marketing_insights_db comment = 'Marketing Insight Pipeline';

-- Time Travel: so many days back a table can be read and cloned as it was (docs/runbooks/batch.md). One is what every
-- edition allows; with Enterprise make it more, on raw, streaming and snapshots first. It is set once: yours stays.
create schema if not exists marketing_insights_db.raw
    data_retention_time_in_days = 1 comment = 'Files as delivered, all text, with a ledger';
create schema if not exists marketing_insights_db.streaming
    data_retention_time_in_days = 1 comment = 'Events as they came, and by event';
create schema if not exists marketing_insights_db.staging
    data_retention_time_in_days = 1 comment = 'Typed and cleaned; the quarantine';
create schema if not exists marketing_insights_db.analytics
    data_retention_time_in_days = 1 comment = 'Star schema, marts, segments';
create schema if not exists marketing_insights_db.snapshots
    data_retention_time_in_days = 1 comment = 'History of customers and segments';
create schema if not exists marketing_insights_db.test_failures
    data_retention_time_in_days = 0 comment = 'Rows that failed a test, where stored';

-- Owners of objects grant nothing here: who may read what is said in this file alone.
alter schema marketing_insights_db.raw enable managed access;
alter schema marketing_insights_db.streaming enable managed access;
alter schema marketing_insights_db.staging enable managed access;
alter schema marketing_insights_db.analytics enable managed access;
alter schema marketing_insights_db.snapshots enable managed access;
alter schema marketing_insights_db.test_failures enable managed access;


-- Where data must not go -------------------------------------------------------------------------------------------

use role accountadmin;

-- Of the whole account: no stage and no unload to an address that no administrator has made a storage integration for.
alter account set require_storage_integration_for_stage_creation = true;
alter account set require_storage_integration_for_stage_operation = true;
alter account set prevent_unload_to_inline_url = true;

-- From where the service users may log in: put your own addresses in, and take the dashes away.
-- create network policy if not exists marketing_insights allowed_ip_list = ('192.0.2.0/24');
-- alter user marketing_airflow set network_policy = marketing_insights;
-- alter user marketing_streaming set network_policy = marketing_insights;
-- alter user marketing_reporting set network_policy = marketing_insights;


-- Cost -------------------------------------------------------------------------------------------------------------

use role accountadmin;

-- A month's quota of each warehouse: what it is expected to use (docs/snowflake.md), and a third more. `make check` says
-- whether it still fits. A quota that you changed stays.
create resource monitor if not exists marketing_loading
    with credit_quota = 20 frequency = monthly start_timestamp = immediately
    triggers on 75 percent do notify on 100 percent do suspend on 110 percent do suspend_immediate;
create resource monitor if not exists marketing_streaming
    with credit_quota = 250 frequency = monthly start_timestamp = immediately
    triggers on 75 percent do notify on 100 percent do suspend on 110 percent do suspend_immediate;
create resource monitor if not exists marketing_transforming
    with credit_quota = 100 frequency = monthly start_timestamp = immediately
    triggers on 75 percent do notify on 100 percent do suspend on 110 percent do suspend_immediate;
create resource monitor if not exists marketing_reporting
    with credit_quota = 50 frequency = monthly start_timestamp = immediately
    triggers on 75 percent do notify on 100 percent do suspend on 110 percent do suspend_immediate;

alter warehouse loading set resource_monitor = marketing_loading;
alter warehouse streaming set resource_monitor = marketing_streaming;
alter warehouse transforming set resource_monitor = marketing_transforming;
alter warehouse reporting set resource_monitor = marketing_reporting;


-- Who may do what --------------------------------------------------------------------------------------------------

use role securityadmin;

grant usage on warehouse loading to role loader;
grant usage on warehouse streaming to role streamer;
grant usage on warehouse transforming to role transformer;
grant usage on warehouse reporting to role reporter;

grant monitor on resource monitor marketing_loading to role loader;
grant monitor on resource monitor marketing_streaming to role streamer;
grant monitor on resource monitor marketing_transforming to role transformer;

grant usage on database marketing_insights_db to role loader;
grant usage on database marketing_insights_db to role streamer;
grant usage on database marketing_insights_db to role transformer;
grant usage on database marketing_insights_db to role reporter;

-- The loader owns what it makes in raw: tables and a stage.
grant usage, create table, create stage, create file format on schema marketing_insights_db.raw to role loader;

-- The streamer owns what it makes in streaming: tables, and the pipes of Snowpipe Streaming. Retention asks stg_bitcoin
-- and stg_news what they hold before it deletes.
grant usage, create table, create pipe on schema marketing_insights_db.streaming to role streamer;
grant select on all tables in schema marketing_insights_db.streaming to role streamer;
grant select on future tables in schema marketing_insights_db.streaming to role streamer;

-- The transformer reads what the two others wrote and owns the rest; in raw it keeps dbt's run results.
grant usage, create table on schema marketing_insights_db.raw to role transformer;
grant usage, create table, create view on schema marketing_insights_db.streaming to role transformer;
grant usage, create table, create view on schema marketing_insights_db.staging to role transformer;
grant usage, create table, create view on schema marketing_insights_db.analytics to role transformer;
grant usage, create table on schema marketing_insights_db.snapshots to role transformer;
grant usage, create table on schema marketing_insights_db.test_failures to role transformer;
grant select on all tables in schema marketing_insights_db.raw to role transformer;
grant select on future tables in schema marketing_insights_db.raw to role transformer;
grant select on all tables in schema marketing_insights_db.streaming to role transformer;
grant select on future tables in schema marketing_insights_db.streaming to role transformer;

-- The reporter reads marts, and of the streams the live views.
grant usage on schema marketing_insights_db.analytics to role reporter;
grant usage on schema marketing_insights_db.streaming to role reporter;
grant select on all tables in schema marketing_insights_db.analytics to role reporter;
grant select on future tables in schema marketing_insights_db.analytics to role reporter;
grant select on all views in schema marketing_insights_db.analytics to role reporter;
grant select on future views in schema marketing_insights_db.analytics to role reporter;
grant select on all views in schema marketing_insights_db.streaming to role reporter;
grant select on future views in schema marketing_insights_db.streaming to role reporter;


-- What the loader finds --------------------------------------------------------------------------------------------

use role loader;

-- As ingestion writes and reads files, for who loads one by hand: ingestion itself says all this in its COPY INTO.
create file format if not exists marketing_insights_db.raw.ingestion_csv
    type = csv compression = gzip encoding = 'UTF8' field_optionally_enclosed_by = '"'
    escape_unenclosed_field = none null_if = () empty_field_as_null = true;
create stage if not exists marketing_insights_db.raw.ingestion
    file_format = (format_name = 'marketing_insights_db.raw.ingestion_csv');


-- What the streamer finds ------------------------------------------------------------------------------------------

use role streamer;

-- dbt would make these where the consumer has not, and own them then; the consumer must.
create table if not exists marketing_insights_db.streaming.bitcoin_prices_raw (
    event_id varchar not null,
    event_timestamp timestamp_tz not null,
    payload variant not null,
    kafka_topic varchar not null,
    kafka_partition integer not null,
    kafka_offset bigint not null,
    kafka_timestamp timestamp_tz,
    ingested_at timestamp_tz not null
);
create table if not exists marketing_insights_db.streaming.news_events_raw (
    event_id varchar not null,
    event_timestamp timestamp_tz not null,
    payload variant not null,
    kafka_topic varchar not null,
    kafka_partition integer not null,
    kafka_offset bigint not null,
    kafka_timestamp timestamp_tz,
    ingested_at timestamp_tz not null
);
create table if not exists marketing_insights_db.streaming.kafka_offsets (
    kafka_topic varchar not null,
    kafka_partition integer not null,
    next_offset bigint not null,
    updated_at timestamp_tz not null,
    topic_id varchar,
    primary key (kafka_topic, kafka_partition)
);

-- Before version 0.2 they were the loader's.
use role securityadmin;
grant ownership on table marketing_insights_db.streaming.bitcoin_prices_raw to role streamer copy current grants;
grant ownership on table marketing_insights_db.streaming.news_events_raw to role streamer copy current grants;
grant ownership on table marketing_insights_db.streaming.kafka_offsets to role streamer copy current grants;
revoke usage, create table, create pipe on schema marketing_insights_db.streaming from role loader;
revoke select on all tables in schema marketing_insights_db.streaming from role loader;
revoke select on future tables in schema marketing_insights_db.streaming from role loader;

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

create role if not exists loader comment = 'Writes raw files and streams';
create role if not exists transformer comment = 'Reads raw, owns what dbt and training build';
create role if not exists reporter comment = 'Reads the marts';

grant role loader to role sysadmin;
grant role transformer to role sysadmin;
grant role reporter to role sysadmin;

-- One user for each place that holds a key. Airflow both loads and transforms; the consumer beside it only loads.
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
    default_role = 'LOADER' default_secondary_roles = () default_warehouse = 'LOADING'
    comment = 'The consumer of the Kafka streams';
alter user marketing_reporting set
    rsa_public_key = '<% reporting_public_key %>'
    default_role = 'REPORTER' default_secondary_roles = () default_warehouse = 'REPORTING'
    comment = 'Dashboards and notebooks';

grant role loader to user marketing_airflow;
grant role transformer to user marketing_airflow;
grant role loader to user marketing_streaming;
grant role reporter to user marketing_reporting;


-- Where ------------------------------------------------------------------------------------------------------------

use role sysadmin;

-- The size is set once, so that running this again does not undo a warehouse that was made larger.
create warehouse if not exists loading warehouse_size = 'XSMALL' initially_suspended = true;
create warehouse if not exists transforming warehouse_size = 'XSMALL' initially_suspended = true;
create warehouse if not exists reporting warehouse_size = 'XSMALL' initially_suspended = true;

alter warehouse loading set
    auto_suspend = 60 auto_resume = true
    statement_timeout_in_seconds = 3600 statement_queued_timeout_in_seconds = 600
    comment = 'Files and streams';
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


-- Cost -------------------------------------------------------------------------------------------------------------

use role accountadmin;

create resource monitor if not exists marketing_insights
    with credit_quota = 50 frequency = monthly start_timestamp = immediately
    triggers on 75 percent do notify on 100 percent do suspend on 110 percent do suspend_immediate;

alter warehouse loading set resource_monitor = marketing_insights;
alter warehouse transforming set resource_monitor = marketing_insights;
alter warehouse reporting set resource_monitor = marketing_insights;


-- Who may do what --------------------------------------------------------------------------------------------------

use role securityadmin;

grant usage on warehouse loading to role loader;
grant usage on warehouse transforming to role transformer;
grant usage on warehouse reporting to role reporter;

grant usage on database marketing_insights_db to role loader;
grant usage on database marketing_insights_db to role transformer;
grant usage on database marketing_insights_db to role reporter;

-- The loader owns what it makes in raw and streaming: tables, a stage, and the pipes of Snowpipe Streaming. Retention
-- asks stg_bitcoin and stg_news what they hold before it deletes.
grant usage, create table, create stage, create file format on schema marketing_insights_db.raw to role loader;
grant usage, create table, create pipe on schema marketing_insights_db.streaming to role loader;
grant select on all tables in schema marketing_insights_db.streaming to role loader;
grant select on future tables in schema marketing_insights_db.streaming to role loader;

-- The transformer reads what the loader wrote and owns the rest; in raw it keeps dbt's run results.
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

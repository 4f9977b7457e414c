-- Removes all that bootstrap.sql made, and every table with it. It needs ACCOUNTADMIN. The database can be brought back
-- within its retention time (a day by default): undrop database marketing_insights_db.

use role accountadmin;

drop database if exists marketing_insights_db;

drop user if exists marketing_airflow;
drop user if exists marketing_streaming;
drop user if exists marketing_reporting;

drop warehouse if exists loading;
drop warehouse if exists streaming;
drop warehouse if exists transforming;
drop warehouse if exists reporting;
drop resource monitor if exists marketing_loading;
drop resource monitor if exists marketing_streaming;
drop resource monitor if exists marketing_transforming;
drop resource monitor if exists marketing_reporting;
drop resource monitor if exists marketing_insights;  -- before version 0.2

drop role if exists loader;
drop role if exists streamer;
drop role if exists transformer;
drop role if exists reporter;

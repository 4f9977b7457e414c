-- Masks personal data for everybody but those who load and transform. It needs Snowflake's Enterprise Edition, so it is no
-- part of the bootstrap; run it after that, as ACCOUNTADMIN, and as often as you like. Then set
-- DBT_PII_TAG=marketing_insights_db.analytics.pii for dbt: it tags the columns that its yml files call personal
-- (meta: pii) whenever it builds them, and a tag brings its policy.

use role accountadmin;
use schema marketing_insights_db.analytics;

create or alter tag marketing_insights_db.analytics.pii
    allowed_values 'identifier', 'attribute', 'contact', 'copy'
    comment = 'identifier: whose row it is; attribute: known of a person; contact: address, phone; copy: a rejected row';

-- A number that stays the same for each customer keeps joins and counts right. Attributes are what segments are about:
-- without the customer's number they name nobody. A contact's hash would be what advertisers match people by.
create masking policy if not exists marketing_insights_db.analytics.pii_number as (value number) returns number ->
    case when is_role_in_session('TRANSFORMER') or is_role_in_session('LOADER') then value else hash(value) end;
create masking policy if not exists marketing_insights_db.analytics.pii_text as (value varchar) returns varchar ->
    case
        when is_role_in_session('TRANSFORMER') or is_role_in_session('LOADER') then value
        when system$get_tag_on_current_column('marketing_insights_db.analytics.pii') = 'attribute' then value
        when system$get_tag_on_current_column('marketing_insights_db.analytics.pii') = 'contact' then '[masked]'
        else sha2(value)
    end;

alter tag marketing_insights_db.analytics.pii set
    masking policy pii_number,
    masking policy pii_text
    force;

grant apply on tag marketing_insights_db.analytics.pii to role transformer;

-- What ingestion makes; dbt owns none of it. Before the first load there is nothing to tag.
alter table if exists marketing_insights_db.raw.customers modify column customerid
    set tag marketing_insights_db.analytics.pii = 'identifier';
alter table if exists marketing_insights_db.raw.customers modify column gender
    set tag marketing_insights_db.analytics.pii = 'attribute';
alter table if exists marketing_insights_db.raw.customers modify column location
    set tag marketing_insights_db.analytics.pii = 'attribute';
alter table if exists marketing_insights_db.raw.online_sales modify column customerid
    set tag marketing_insights_db.analytics.pii = 'identifier';
alter table if exists marketing_insights_db.raw.customer_contacts modify column customer_id
    set tag marketing_insights_db.analytics.pii = 'identifier';
alter table if exists marketing_insights_db.raw.customer_contacts modify column email
    set tag marketing_insights_db.analytics.pii = 'contact';
alter table if exists marketing_insights_db.raw.customer_contacts modify column phone
    set tag marketing_insights_db.analytics.pii = 'contact';
alter table if exists marketing_insights_db.raw.customer_contacts modify column consent
    set tag marketing_insights_db.analytics.pii = 'attribute';

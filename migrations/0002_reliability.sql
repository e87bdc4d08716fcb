-- Why: what makes deployments survive their workers, and releases their first minute.

-- Writer: worker. How many workers died while they held it; three are enough to see that it is to blame.
alter table deployments add column deaths integer not null default 0;
-- Writer: worker. How many times a fault of Windlass itself ended an attempt.
alter table deployments add column faults integer not null default 0;

-- Writer: worker. When the live release went live, and the one that it took the place of: the watch window counts from the first
-- and rolls back to the second.
alter table app_states add column live_since timestamptz;
alter table app_states add column previous_release_id uuid;
-- Set when the watch has judged this release, so that it is judged once.
alter table app_states add column watched_release_id uuid;

-- Writer: worker. Instances of a candidate that takes over a few at a time get requests before their release is live.
alter table instances add column admitted boolean not null default false;

-- Why: a release that was judged to be bad while another deployment was on its way is rolled back when that one has failed, however
-- long it took.

-- Writer: worker. What the watch found of the release that `watched_release_id` names; null as soon as its rollback was asked for, or
-- another release is live.
alter table app_states add column watch_verdict text;

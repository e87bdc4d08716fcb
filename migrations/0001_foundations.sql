-- Why: the nouns of Windlass (see docs/explanation/architecture.md) as rows. `api` inserts what is wanted, `worker` writes what is;
-- the comment above each table names its writer. Every table has its team from the first day, because adding tenancy later is how
-- cross-tenant leaks are made. Secrets are sealed by the engine before they come here: a dump alone reveals nothing.

-- Writer: engine, at its first start.
create table installation (
    singleton boolean primary key default true check (singleton),
    engine_id uuid not null,
    -- Proves that the master key at hand is the one that sealed the secrets here.
    key_check bytea not null,
    setup_token_hash bytea,
    created_at timestamptz not null default now()
);

-- Writer: api.
create table teams (
    id uuid primary key,
    name text not null unique,
    created_at timestamptz not null default now()
);

-- Writer: api.
create table tokens (
    id uuid primary key,
    team_id uuid not null references teams on delete cascade,
    name text not null,
    hash bytea not null unique,
    created_at timestamptz not null default now(),
    last_used_at timestamptz,
    revoked_at timestamptz
);
create index tokens_team on tokens (team_id, id);

-- Writer: api. What is wanted of an app.
create table apps (
    id uuid primary key,
    team_id uuid not null references teams,
    -- Unique over all teams: it is a host name.
    name text not null unique,
    settings jsonb not null,
    -- What all addresses of the app's repository have in common; webhooks are matched by it.
    repo_identity text,
    webhook_secret bytea not null,
    deploy_key_public text not null,
    deploy_key_private bytea not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- Set when somebody asked for its deletion; worker deletes the row when nothing is left of it.
    deleting_at timestamptz
);
create index apps_team on apps (team_id, id);
create index apps_repo on apps (repo_identity) where repo_identity is not null;

-- Writer: worker. What is, of an app.
create table app_states (
    app_id uuid primary key references apps on delete cascade,
    team_id uuid not null references teams,
    subnet text unique,
    live_release_id uuid,
    -- The release that a deployment is making live.
    candidate_release_id uuid,
    candidate_failure jsonb,
    -- Only the holder of an unexpired lease may change the app's containers.
    lease_holder uuid,
    lease_until timestamptz
);

-- Writer: api. Whole snapshots: a release names one by its version, and a rollback copies one to the top.
create table config_versions (
    app_id uuid not null references apps on delete cascade,
    team_id uuid not null references teams,
    version integer not null,
    sealed bytea not null,
    created_by uuid,
    created_at timestamptz not null default now(),
    primary key (app_id, version)
);

-- Writer: api. How many instances of a process type are wanted; no row means 1 for web and 0 for others.
create table formation (
    app_id uuid not null references apps on delete cascade,
    team_id uuid not null references teams,
    process text not null,
    quantity integer not null check (quantity between 0 and 1000),
    -- Instances of an older sequence are replaced.
    restart_seq integer not null default 0,
    updated_at timestamptz not null default now(),
    primary key (app_id, process)
);

-- Writers: api inserts, worker updates.
create table deployments (
    id uuid primary key,
    team_id uuid not null references teams,
    app_id uuid not null references apps on delete cascade,
    kind jsonb not null,
    -- push, api, webhook, config, rollback
    trigger text not null,
    commit_id text,
    reference text,
    message text,
    created_by uuid,
    created_at timestamptz not null default now(),
    status text not null default 'pending'
        check (status in ('pending', 'running', 'succeeded', 'failed', 'cancelled', 'superseded')),
    step text,
    -- The fencing token: grows with every claim, and every write of a worker names the one it claimed.
    attempt integer not null default 0,
    -- None while nobody has it: it waits, is over, or was given up and may be claimed again after lease_until.
    lease_holder uuid,
    lease_until timestamptz,
    image_id uuid,
    release_id uuid,
    failure jsonb,
    superseded_by uuid,
    started_at timestamptz,
    finished_at timestamptz
);
create index deployments_app on deployments (app_id, id desc);
create index deployments_open on deployments (id) where status in ('pending', 'running');
-- One at a time for an app, whatever races there are.
create unique index deployments_one_running on deployments (app_id) where status = 'running';

-- Writer: api.
create table deployment_cancels (
    deployment_id uuid primary key references deployments on delete cascade,
    team_id uuid not null references teams,
    requested_by uuid,
    requested_at timestamptz not null default now()
);

-- Writer: worker.
create table deployment_steps (
    deployment_id uuid not null references deployments on delete cascade,
    team_id uuid not null references teams,
    step text not null,
    attempt integer not null,
    started_at timestamptz not null default now(),
    finished_at timestamptz,
    -- done, failed, abandoned
    outcome text,
    primary key (deployment_id, step, attempt)
);

-- Writer: worker. Outlives the containers and images of the deployment.
create table deployment_log (
    deployment_id uuid not null references deployments on delete cascade,
    team_id uuid not null references teams,
    seq bigint not null,
    at timestamptz not null default now(),
    source text not null,
    text text not null,
    primary key (deployment_id, seq)
);

-- Writer: worker.
create table images (
    id uuid primary key,
    team_id uuid not null references teams,
    app_id uuid not null references apps on delete cascade,
    deployment_id uuid not null unique references deployments on delete cascade,
    reference text not null,
    digest text not null,
    commit_id text,
    processes jsonb not null,
    exposed_ports integer[] not null,
    size_bytes bigint not null,
    created_at timestamptz not null default now(),
    removed_at timestamptz
);
create index images_app on images (app_id, id desc);

-- Writer: worker. Never updated.
create table releases (
    id uuid primary key,
    team_id uuid not null references teams,
    app_id uuid not null references apps on delete cascade,
    version integer not null,
    deployment_id uuid not null unique references deployments on delete cascade,
    image_id uuid not null references images on delete cascade,
    config_version integer not null,
    processes jsonb not null,
    settings jsonb not null,
    description text not null,
    created_at timestamptz not null default now(),
    unique (app_id, version)
);
create index releases_image on releases (image_id);

-- Writer: worker.
create table instances (
    id uuid primary key,
    team_id uuid not null references teams,
    app_id uuid not null references apps on delete cascade,
    release_id uuid not null references releases on delete cascade,
    process text not null,
    n integer not null,
    restart_seq integer not null,
    state text not null
        check (state in ('starting', 'healthy', 'unhealthy', 'draining', 'crashed', 'stopped')),
    container_id text,
    address text,
    exit_code bigint,
    reason text,
    created_at timestamptz not null default now(),
    healthy_at timestamptz,
    draining_at timestamptz,
    finished_at timestamptz,
    -- How far its log has been collected, in nanoseconds since 1970.
    log_cursor_ns bigint not null default 0
);
create index instances_app on instances (app_id, id desc);
create index instances_release on instances (release_id);
create index instances_live on instances (app_id) where state in ('starting', 'healthy', 'unhealthy', 'draining');

-- Writer: worker. Bounded per app.
create table run_log (
    id bigint generated always as identity primary key,
    app_id uuid not null references apps on delete cascade,
    team_id uuid not null references teams,
    at timestamptz not null,
    process text not null,
    instance text not null,
    stream text not null,
    text text not null
);
create index run_log_app on run_log (app_id, id desc);

-- Writer: api.
create table webhook_deliveries (
    forge text not null,
    delivery_id text not null,
    app_id uuid not null references apps on delete cascade,
    team_id uuid not null references teams,
    event text not null,
    verdict text not null,
    deployment_id uuid,
    received_at timestamptz not null default now(),
    primary key (forge, delivery_id, app_id)
);
create index webhook_deliveries_app on webhook_deliveries (app_id);

-- Writer: worker. Numbers the tables that the router gets.
create sequence route_generation;

# Sourced after settings.sh: the instance of Windlass that `make up` runs from this checkout. Everything may be overridden by
# the environment, see docs/reference/configuration.md.

# The engine's parts run as users of their own, who must be able to reach its folder.
reachable_by_all() {
  local dir=$1
  while [ "$dir" != / ]; do
    [ "$(stat -c %A "$dir" | cut -c10)" != - ] || return 1
    dir=$(dirname "$dir")
  done
}

if [ -z "${WINDLASS_DATA_DIR:-}" ]; then
  WINDLASS_DATA_DIR=$root/.windlass
  # A checkout in a closed home directory: the data goes elsewhere, and .windlass leads to it.
  if [ "$(id -u)" = 0 ] && ! reachable_by_all "$root"; then
    install -d -m 711 /var/lib/windlass-checkout
    ln -sfn /var/lib/windlass-checkout "$root/.windlass"
    WINDLASS_DATA_DIR=/var/lib/windlass-checkout
  fi
fi
export WINDLASS_DATA_DIR
export WINDLASS_BASE_DOMAIN=${WINDLASS_BASE_DOMAIN:-localhost}
export WINDLASS_API_LISTEN=${WINDLASS_API_LISTEN:-127.0.0.1:8700}
export WINDLASS_ROUTER_HTTP=${WINDLASS_ROUTER_HTTP:-0.0.0.0:8080}

home=$WINDLASS_DATA_DIR
local_url=http://127.0.0.1:${WINDLASS_API_LISTEN##*:}
public_url=${WINDLASS_API_PUBLIC_URL:-http://$WINDLASS_BASE_DOMAIN:${WINDLASS_API_LISTEN##*:}}

# The engine holds a lock on the file of its process id.
engine_runs() { [ -e "$home/windlassd.pid" ] && ! flock -n "$home/windlassd.pid" true; }

# Starts the engine so that it outlives this terminal, and waits until it can take work.
start_engine() {
  say "Starting windlassd"
  WINDLASS_LOG_FORMAT=${WINDLASS_LOG_FORMAT:-text} setsid "$home/bin/windlassd" run >>"$home/windlassd.log" 2>&1 </dev/null &
  local pid=$! deadline=$((SECONDS + 60))
  until curl -fs "$local_url/readyz" >/dev/null 2>&1; do
    if [ ! -d "/proc/$pid" ] || [ $SECONDS -ge $deadline ]; then
      tail -n 30 "$home/windlassd.log" >&2
      fail "windlassd did not become ready; '$home/bin/windlassd doctor' says what is missing"
    fi
    sleep 0.2
  done
}

# The id that this installation puts on everything it makes; `make clean-apps` needs it when the database is down.
note_engine_id() {
  local database=${DATABASE_URL:-postgres://windlass@localhost/postgres?host=$home/postgres/run}
  psql "$database" -AtXc "select replace(engine_id::text, '-', '') from installation" >"$home/engine-id"
}

login_line() {
  if [ -s "$home/setup-token" ]; then
    echo "windlass login $public_url --setup-token - < $home/setup-token"
  else
    echo "windlass status        # lost your token? WINDLASS_DATA_DIR=$home $home/bin/windlassd setup-token"
  fi
}

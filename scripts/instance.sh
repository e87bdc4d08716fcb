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
  if [ "$(id -u)" = 0 ] && ! reachable_by_all "$root"; then WINDLASS_DATA_DIR=/var/lib/windlass; fi
fi
export WINDLASS_DATA_DIR
export WINDLASS_BASE_DOMAIN=${WINDLASS_BASE_DOMAIN:-localhost}
export WINDLASS_API_LISTEN=${WINDLASS_API_LISTEN:-127.0.0.1:8700}
export WINDLASS_ROUTER_HTTP=${WINDLASS_ROUTER_HTTP:-0.0.0.0:8080}

home=$WINDLASS_DATA_DIR
local_url=http://127.0.0.1:${WINDLASS_API_LISTEN##*:}

engine_runs() {
  [ -s "$home/windlassd.pid" ] && [ -d "/proc/$(cat "$home/windlassd.pid")" ]
}

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

login_line() {
  if [ -s "$home/setup-token" ]; then
    echo "windlass login $local_url --setup-token $(cat "$home/setup-token")"
  else
    echo "windlass status         # 'windlassd setup-token' makes a new token when you have lost yours"
  fi
}

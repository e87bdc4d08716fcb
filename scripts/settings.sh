# Sourced by every script: where things are, and how the scripts speak.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/windlass
tools=$cache/bin
mkdir -p "$cache/target" "$tools"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$tools:$PATH:/usr/sbin:/sbin"
# The statements of the store are checked against the committed descriptions, so that a build needs no database.
export SQLX_OFFLINE=true

say() { printf '==> %s\n' "$*"; }
fail() { printf '==> %s\n' "$*" >&2; exit 1; }

# Cargo takes what another checkout built in the same folder for this one's, and it would look for its files over there.
own_build() {
  [ "$(cat "$CARGO_TARGET_DIR/checkout" 2>/dev/null)" != "$root" ] || return 0
  find "$root" -name '*.rs' -not -path '*/target/*' -exec touch {} +
  printf %s "$root" >"$CARGO_TARGET_DIR/checkout"
}

# Runs a command as root.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else fail "this needs root: $*"; fi
}

# Docker's own command; a packaged one goes before others that may stand earlier in PATH.
docker() {
  if [ -x /usr/bin/docker ]; then /usr/bin/docker "$@"; else command docker "$@"; fi
}

docker_answers() { docker info >/dev/null 2>&1; }

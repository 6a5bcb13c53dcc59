# What benches/server.sh and benches/milter.sh have in common: their flags, the release server, a place on the disk. Sourced by them,
# after they have set the defaults of `plugins connections messages size rounds`; the line of usage is the fifth of theirs.

server=
while [ $# -gt 1 ]; do
    case "$1" in
    --plugins) plugins=$2 ;;
    --connections) connections=$2 ;;
    --messages) messages=$2 ;;
    --size) size=$2 ;;
    --rounds) rounds=$2 ;;
    --server) server=$(realpath "$2") ;;
    *) break ;;
    esac
    shift 2
done
if [ $# -gt 0 ]; then
    sed -n '5s/^# *//p' "$0" >&2
    exit 2
fi
PATH=$PATH:/usr/sbin

# The Debian packages, and the programs.
need() {
    local packages=$1 program
    shift
    for program in "$@"; do
        command -v "$program" >/dev/null || { echo "$program is not installed (Debian: $packages)" >&2; exit 2; }
    done
}
build() {
    [ -z "$server" ] || return 0
    cargo build --release --locked --quiet
    server=${CARGO_TARGET_DIR:-target}/release/wasmilter
}

# Not in memory: what is measured is mail on a disk.
place=$(mktemp -d "${TMPDIR:-/var/tmp}/wasmilter-bench.XXXXXX")
chmod 755 "$place"
# `postfix`: its configuration, if one was started.
pids=() postfix=
end() {
    [ -z "$postfix" ] || postfix -c "$postfix" stop >/dev/null 2>&1 || true
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
    rm -rf "$place"
}
trap end EXIT

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
# Seconds of CPU that a process has used.
cpu() { awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13) / hz }' "/proc/$1/stat"; }
median() { tr ' ' '\n' <<<"$1" | grep . | sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

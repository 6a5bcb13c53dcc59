#!/usr/bin/env bash
# What a milter costs Postfix: one Postfix that throws mail away once it has accepted it, driven by smtp-source, with no milter, with a
# trivial one in C that looks at three header fields and adds one, and with the release server and its plugins, in turn. Judges nothing.
#
#   benches/milter.sh [--plugins first-party|DIRECTORY] [--connections 10] [--messages 5000] [--size 4096] [--rounds 5] [--server FILE]
#
# Needs root, Postfix, cc and libmilter (Debian: postfix gcc libmilter-dev).
set -euo pipefail

plugins=first-party connections=10 messages=5000 size=4096 rounds=5
. "$(dirname "$0")/common.sh"
[ "$(id -u)" = 0 ] || { echo "Postfix is started by root only" >&2; exit 2; }
need "postfix gcc libmilter-dev" postfix smtp-source cc
cd "$(dirname "$0")/.."
build

free_ports() {
    python3 -c 'import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in sockets: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))' "$1"
}
until_there() {
    for _ in $(seq 300); do "$@" && return; sleep 0.1; done
    echo "$* does not come" >&2
    exit 1
}

# Postfix's own directory for sockets, where its smtpd may go.
mkdir -p "$place/etc" "$place/data" "$place/queue/milter"
chown postfix "$place/data" "$place/queue/milter"

cc -O2 -o "$place/trivial" benches/plugin/trivial.c -lmilter -lpthread
"$place/trivial" "unix:$place/queue/milter/trivial" &
trivial=$!
pids+=("$trivial")

cat >"$place/wasmilter.toml" <<END
hostname = "mx.example.test"
data-dir = "$place/wasmilter"
domains = ["example.test"]
[plugins]
directory = "$place/plugins"
[[listener]]
protocol = "milter"
address = "unix:$place/queue/milter/wasmilter"
mode = "0666"
END
mkdir "$place/plugins"
if [ "$plugins" = first-party ]; then
    "$server" plugin install spam-score rewrite folders --config "$place/wasmilter.toml" >/dev/null
else
    cp -r "$plugins/." "$place/plugins"
fi
WASMILTER_LOG=warn "$server" serve --config "$place/wasmilter.toml" >/dev/null &
wasmilter=$!
pids+=("$wasmilter")
until_there test -S "$place/queue/milter/trivial"
until_there test -S "$place/queue/milter/wasmilter"
chmod 666 "$place/queue/milter/trivial"

read -r none_port trivial_port wasmilter_port < <(free_ports 3)
cat >"$place/etc/main.cf" <<END
compatibility_level = 3.6
queue_directory = $place/queue
data_directory = $place/data
maillog_file = $place/mail.log
maillog_file_prefixes = $place
myhostname = mx.example.net
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
smtpd_peername_lookup = no
virtual_mailbox_domains = example.test
virtual_mailbox_maps = static:user
virtual_transport = discard:
milter_default_action = tempfail
END
cat >"$place/etc/master.cf" <<END
127.0.0.1:$none_port inet n - n - - smtpd
127.0.0.1:$trivial_port inet n - n - - smtpd -o smtpd_milters=unix:milter/trivial
127.0.0.1:$wasmilter_port inet n - n - - smtpd -o smtpd_milters=unix:milter/wasmilter
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
END
postfix=$place/etc
postfix -c "$place/etc" start >/dev/null 2>&1
for port in "$none_port" "$trivial_port" "$wasmilter_port"; do until_there answers "$port"; done

echo "$(nproc) cores, $(uname -sr); $size octets, $connections connections, $messages messages a round; plugins: $plugins"
queue_is_empty() { ! find "$place"/queue/{incoming,active,deferred} -type f 2>/dev/null | grep -q .; }
send() { smtp-source -s "$connections" -m "$1" -l "$size" -f bench@example.net -t user@example.test "127.0.0.1:$2"; }
declare -A rates
timed() { # name, port, pid of the milter
    local begin before
    before=$([ -z "${3:-}" ] || cpu "$3")
    begin=$(date +%s.%N)
    send "$messages" "$2"
    local rate cost=
    rate=$(awk -v n="$messages" -v a="$begin" -v b="$(date +%s.%N)" 'BEGIN { printf "%.0f", n / (b - a) }')
    [ -z "${3:-}" ] || cost=$(awk -v a="$before" -v b="$(cpu "$3")" -v n="$messages" 'BEGIN { printf ", %.3f ms CPU of the milter each", 1000 * (b - a) / n }')
    rates[$1]="${rates[$1]:-} $rate"
    printf '  %-16s %6s messages a second%s\n' "$1" "$rate" "$cost"
    until_there queue_is_empty
}
for port in "$none_port" "$trivial_port" "$wasmilter_port"; do send 500 "$port"; done
until_there queue_is_empty
for number in $(seq "$rounds"); do
    echo "round $number"
    timed "no milter" "$none_port"
    timed "trivial milter" "$trivial_port" "$trivial"
    timed wasmilter "$wasmilter_port" "$wasmilter"
done

own=$(median "${rates[wasmilter]}")
echo "medians"
for name in "no milter" "trivial milter"; do
    other=$(median "${rates[$name]}")
    awk -v name="$name" -v own="$own" -v other="$other" 'BEGIN { printf "  wasmilter %d, %s %d: %.2f times\n", own, name, other, own / other }'
done

#!/usr/bin/env bash
# The release server on loopback, driven by Postfix's smtp-source, beside smtp-sink (which stores nothing) and, where it can be
# started, Postfix delivering into a Maildir: all in one run, in turn, so that the ratios mean something. Judges nothing.
#
#   benches/server.sh [--plugins none|first-party|DIRECTORY] [--connections 10] [--messages 5000] [--size 4096] [--rounds 3] [--server FILE]
#
# Needs smtp-source and smtp-sink (Debian: postfix). Postfix itself takes part if this runs as root and its user exists.
set -euo pipefail

plugins=first-party connections=10 messages=5000 size=4096 rounds=3
. "$(dirname "$0")/common.sh"
need postfix smtp-source smtp-sink
cd "$(dirname "$0")/.."
build

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
until_it_answers() {
    for _ in $(seq 300); do answers "$1" && return; sleep 0.1; done
    echo "nothing listens on port $1" >&2
    exit 1
}
now() { date +%s.%N; }
send() { smtp-source -d -s "$connections" -m "$messages" -l "$size" -f bench@example.net -t user@example.test "127.0.0.1:$1"; }

echo "$(nproc) cores, $(uname -sr); $size octets, $connections connections, $messages messages a round; plugins: $plugins"

ours=$(free_port)
cat >"$place/wasmilter.toml" <<EOF
hostname = "mx.example.test"
data-dir = "$place/data"
domains = ["example.test"]
[[listener]]
protocol = "smtp"
address = "127.0.0.1:$ours"
tls = "none"
EOF
case "$plugins" in
none) ;;
first-party)
    mkdir "$place/plugins"
    printf '[plugins]\ndirectory = "%s"\n' "$place/plugins" >>"$place/wasmilter.toml"
    "$server" plugin install spam-score rewrite folders --config "$place/wasmilter.toml" >/dev/null
    ;;
*) printf '[plugins]\ndirectory = "%s"\n' "$(realpath "$plugins")" >>"$place/wasmilter.toml" ;;
esac
echo bench | "$server" account add user@example.test --config "$place/wasmilter.toml" >/dev/null
WASMILTER_LOG=warn "$server" serve --config "$place/wasmilter.toml" >/dev/null &
wasmilter=$!
pids+=("$wasmilter")

sink=$(free_port)
# As root it wants to be somebody else.
[ "$(id -u)" = 0 ] && as=(-u nobody) || as=()
smtp-sink "${as[@]}" "127.0.0.1:$sink" 1000 &
smtp_sink=$!
pids+=("$smtp_sink")

theirs=
if [ "$(id -u)" = 0 ] && getent passwd postfix >/dev/null && command -v postfix >/dev/null; then
    theirs=$(free_port)
    mkdir -p "$place/postfix/etc" "$place/postfix/data" "$place/postfix/queue" "$place/postfix/mail"
    chown postfix "$place/postfix/data" "$place/postfix/mail"
    cat >"$place/postfix/etc/main.cf" <<EOF
compatibility_level = 3.6
queue_directory = $place/postfix/queue
data_directory = $place/postfix/data
maillog_file = $place/postfix/mail.log
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
virtual_mailbox_base = $place/postfix/mail
virtual_mailbox_maps = static:user/
virtual_uid_maps = static:$(id -u postfix)
virtual_gid_maps = static:$(id -g postfix)
virtual_minimum_uid = 1
EOF
    cat >"$place/postfix/etc/master.cf" <<EOF
127.0.0.1:$theirs inet n - n - - smtpd
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
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
EOF
    if postfix -c "$place/postfix/etc" start >/dev/null 2>&1; then
        postfix=$place/postfix/etc
    else
        theirs=
    fi
fi
[ -n "$theirs" ] || echo "without Postfix: it needs root, and to be installed"

for port in "$ours" "$sink" $theirs; do until_it_answers "$port"; done
send "$ours" # Once unmeasured: code and pages are warm from here on.
delivered() { { find "$place/postfix/mail/user/new" -type f 2>/dev/null || true; } | wc -l; }

declare -A rates
round() { # name, seconds
    local rate
    rate=$(awk -v n="$messages" -v s="$2" 'BEGIN { printf "%.0f", n / s }')
    rates[$1]="${rates[$1]:-} $rate"
    printf '  %-10s %6s messages a second%s\n' "$1" "$rate" "${3:-}"
}
timed() { # name, port, pid
    local begin before
    begin=$(now) before=$(cpu "$3")
    send "$2"
    round "$1" "$(awk -v a="$begin" -v b="$(now)" 'BEGIN { print b - a }')" \
        "$(awk -v a="$before" -v b="$(cpu "$3")" -v n="$messages" 'BEGIN { printf ", %.3f ms CPU each", 1000 * (b - a) / n }')"
}
for number in $(seq "$rounds"); do
    echo "round $number"
    timed wasmilter "$ours" "$wasmilter"
    timed smtp-sink "$sink" "$smtp_sink"
    if [ -n "$theirs" ]; then
        goal=$(($(delivered) + messages))
        begin=$(now)
        send "$theirs"
        while [ "$(delivered)" -lt "$goal" ]; do sleep 0.05; done
        round Postfix "$(awk -v a="$begin" -v b="$(now)" 'BEGIN { print b - a }')" ", in the Maildir"
    fi
done

own=$(median "${rates[wasmilter]}")
echo "medians"
for name in smtp-sink Postfix; do
    [ -n "${rates[$name]:-}" ] || continue
    other=$(median "${rates[$name]}")
    awk -v name="$name" -v own="$own" -v other="$other" 'BEGIN { printf "  wasmilter %d, %s %d: %.2f times\n", own, name, other, own / other }'
done
awk '/VmHWM/ { printf "  memory of wasmilter at the most: %.0f MiB\n", $2 / 1024 }' "/proc/$wasmilter/status"
